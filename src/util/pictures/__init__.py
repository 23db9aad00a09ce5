"""Image files: `io` reads and writes one, `folder` lists many, past `own_results`.

`value_range` says which number is white, `conversion` turns values into [0, 1] and back, and `formats` knows
the files.
"""
