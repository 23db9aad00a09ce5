"""Adapt the general network to the noise of given images.

`plan` describes the stages, and `stages` runs them: first students, a teacher that learns from these images
alone if they leave noise, a final student. `targets` are what the students imitate; they are made from
`parts` of the images. `measure` measures the noise that is added to clean images, and `relatives` that of
each image. `noise_report` shows the noise before a training: as a `noise_table` and as a `noise_image`.
"""
