"""From a source's images to the samples that a network is given.

`samples` is the PyTorch dataset; `view` defines crop, flips, rotations and noise; `levels` scales values to
[0, 1]; `used` holds the images in use and replaces unreadable ones; `checks` examines all images before the
first step; `cache` keeps them decoded in memory or on disk, in the file format of `packed`.
"""
