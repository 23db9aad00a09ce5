"""From YAML to objects: everything is checked to the last key before anything is made.

`run_config` lists every key with its range and meaning; `reading` reads a file and checks it; `build` makes
the parts of a run; `runs` finds the configuration that a run was started with.
"""
