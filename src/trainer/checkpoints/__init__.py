"""Checkpoints: what is saved, kept, verified and read back.

Read `checkpoint` first: saving, finding the newest, and what goes. `manifest` lists which files are ours,
with their SHA-256; `archive` refuses what is no checkpoint before anything of it is used, `foreign` says
what it is instead; `exported` reads safetensors, and `general` is the network that comes with the program;
`state` is where a training stands, `environment` what it ran on.
"""
