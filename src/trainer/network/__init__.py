"""Calling the network, for training and inference alike.

`network` holds the weights on their device and denoises whole images in bounded memory; `tiling` says how
large ones are cut, so that the tiles give what the whole would.
"""
