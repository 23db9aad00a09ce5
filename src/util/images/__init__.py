"""Image files: `io` reads and writes one, `folder` lists many, past `own_results`.

`value_range` says which number is white, `conversion` turns values into [0, 1] and back, `light` into linear
light, `places` cuts an image into squares, and `formats` knows the files.
"""
