"""Image files: `io` reads and writes them, `folder` lists them, without the results in `own_results`.

`value_range` finds the data range, `conversion` scales values to [0, 1] and back, `light` converts them to
linear light, `places` cuts an image into squares, `shrink` makes it smaller, and `formats` implements the
file formats.
"""
