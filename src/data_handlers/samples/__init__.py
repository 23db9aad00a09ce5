"""How images are seen: from a source to the samples that a network is given.

`samples` is the dataset of PyTorch; `view` its crop, flips, turns and noise; `levels` brings values to [0,
1]; `used` says which images are shown and what replaces one that is lost; `first_look` checks them all
before the first step; `cache` keeps them decoded, on disk as `packed` files.
"""
