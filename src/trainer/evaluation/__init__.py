"""Score networks, and analyse noise before a training.

`evaluate` denoises the images of a dataset and compares them with clean ones, or takes their `masked_loss`.
`metrics` has PSNR and SSIM, `summary` prints them, and `saving` writes the images. `no_data` replaces NaN,
which no score counts. `noise_report` measures the correlation of noise with `noise_correlation`. `sanity`
detects networks that have learned nothing.
"""
