"""Save, verify and load checkpoints.

Start with `checkpoint`, which saves, finds and deletes checkpoints. `manifest` lists those of a run with
their SHA-256. `archive` checks an untrusted file before it is loaded. `exported` reads safetensors, and
`general` is the network that comes with the program. `state` holds the progress of a training, and
`environment` the software and hardware that it ran on.
"""
