"""Adapting the general network to the images at hand.

`plan` says which stages there are, `stages` runs them: a first student, a teacher that learns from these
images alone, a student. `targets` are what students imitate, and `measure` tells the noise that is put on
clean images for them.
"""
