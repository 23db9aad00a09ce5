"""Sources of images: one file for each dataset, which lists and reads its images.

`base` defines the interface; `folder` reads image files. `sidd` (with `sidd_frames` and `mat_blocks`) and
`dnd` (with `dnd_mat`) read the published downloads. `bsd68` and `demo` hold clean images, to which `noise`
or `camera_noise` adds simulated noise. `generated` draws images, optionally with parts of `photographs`.
`adapted` mixes real, denoised and generated images with `measured_noise` to adapt a network to some images.
"""
