"""Adapting the general network to the images at hand.

`plan` says which stages there are, `stages` runs them: a first student, a teacher that learns from these
images alone, a student. `targets` are what students imitate, made of `parts` of the images, and `measure`
tells the noise that is put on clean images for them. `noise_report` says what it would be before a training:
as a `noise_table` and, to look at, a `noise_image`.
"""
