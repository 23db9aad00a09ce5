"""Where images come from: a file for each dataset, which names, inspects and reads them.

`base` says what a source offers; `folder` is the plainest one. SIDD (`sidd`, with `sidd_frames` and
`mat_blocks`) and DND (`dnd`, `dnd_mat`) read the downloads as they are; `bsd68` and `demo` hold clean images,
on which `noise` puts simulated noise, `camera_noise` that of cameras; those of `generated`
are made up, with the help of `photographs` if there are any. `adapted` mixes real, denoised and generated
images with `measured_noise`, for a network that is adapted to images.
"""
