"""Shared tools; this package imports nothing else from `src`.

`config` reads and checks YAML, `images` reads and writes image files. `errors` defines the errors with their
exit codes, `script` and `flags` the common parts of the scripts. `file_manager` knows the layout of a run's
folder, `atomic_file` writes files atomically, `logger` writes messages. `device` chooses the device, `seed`
makes generators, `cores` counts CPU cores, `memory` measures and keeps memory, `share` splits a batch between
processes, and `overlap` runs reading, computing and writing in parallel.
"""
