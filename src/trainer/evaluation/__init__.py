"""Scores, and what can be told of noise before a training.

`evaluate` denoises the images of a dataset and compares them, or takes their `masked_loss`; `metrics` are
PSNR and SSIM, `summary` their words and `saving` the files beside them. What is NaN in an image is `no_data`,
which counts nowhere. `noise_report` measures with
`noise_correlation` how far the noise of images reaches; `sanity` tells what came to nothing.
"""
