"""Call the network, for training and inference alike.

`whole_image` defines how whole images are denoised. `network` does so in bounded memory: `tiling` divides
large images such that the tiles give the same result as the whole. `masked` denoises pixels that are hidden
from the network, as in training.
"""
