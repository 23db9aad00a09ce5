"""Calling the network, for training and inference alike.

`whole_image` says what denoising whole images is. `network` holds the weights on their device and does so in
bounded memory; `tiling` says how large ones are cut, so that the tiles give what the whole would. `masked`
does so pixel by pixel hidden, as networks learn that hide.
"""
