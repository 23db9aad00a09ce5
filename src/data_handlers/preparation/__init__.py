"""Cutting downloads into pieces: `sidd` and `dnd` plan, `execute` does it.

A `plan` says which pieces (on the `grid`) come from which image; `target` and its `manifest` keep to files of
our own, `room` asks for the disk's, and `workers` are the processes that cut.
"""
