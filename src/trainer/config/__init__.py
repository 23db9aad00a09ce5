"""From YAML to objects: everything is checked to the last key before anything is made.

`run_config` lists every key with its range and meaning; `components` are those parts that are one of several,
with arguments of their own; `reading` reads a file and checks it; `build` makes the parts of a run. `names`
finds what the flags name, without loading any of that.
"""
