"""Adapting the general network to the images at hand.

`stages` runs them: a teacher that learns from these images, `targets` made with it, and a student. `measure`
tells the noise that is put on clean images for the student.
"""
