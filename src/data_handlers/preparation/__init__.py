"""Cut downloaded benchmarks into pieces.

`sidd` and `dnd` make a `plan` of pieces, on a `grid` or in the official boxes. `execute` carries it out in
the processes of `workers`, and `target` guards the folders that it writes to.
"""
