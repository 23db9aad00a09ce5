"""Training and using denoisers: everything that the scripts call.

The packages, from the bottom up; each imports only from those above it in this list:

network       calls the network: precision, tiles, whole images
finish        restores light and detail that a network removed
checkpoints   what is saved, and how it is loaded
optim         optimisers, learning rates, the mean of weights
objective     what a network is trained to do: predict hidden pixels, or imitate targets
parallel      several processes that train one network
config        from YAML to checked objects; finds the run that is meant
evaluation    scores, and measurements before a training
report        pages and panels to look at
training      the loop, its log, and resuming
inference     images to denoised images: files, folders, datasets, Python
adapt         adapts a network to images in stages (train, denoise, train); noise measurements as text
demo          trains, adapts and compares on photographs

Training and inference never import each other. For the method read `training.trainer`, then `training.step`.
"""
