"""What everything else stands on; it imports nothing else of `src`.

`config` turns YAML into checked blocks, `images` reads and writes image files. `errors` are the user's,
each with an exit code; `script` and `flags` serve the scripts; `file_manager` knows a run's folder,
`atomic_file` writes files whole, `logger` says it all. `device`, `seed`, `cores`, `memory`, `share` and
`overlap` are about where, with which randomness, and in how many parts work is done.
"""
