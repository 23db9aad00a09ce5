"""Image files: `io` reads and writes one, `folder` lists many, past `own_results`.

`value_range` says which number is white, and turns values into [0, 1] and back; `formats` knows the files.
"""
