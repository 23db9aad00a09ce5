"""From YAML to objects: every key is checked before anything is built.

`run_config` lists every key with its range and meaning. `components` checks the parts that have a type and
arguments of their own. `reading` reads a file and checks it; `build` makes the parts of a run. `names` finds
the files and runs that the flags name, without loading any of the rest.
"""
