"""Training and using denoisers: all that scripts call.

The rooms, from the ground up; each imports only from rooms above it in this list:

network       calls the network: precision, tiles, whole images
finish        gives back what a network took off besides noise
checkpoints   what is saved, and how it is read back
optim         optimisers, learning rates, the mean of weights
objective     what a network is trained to do: hide and predict, or imitate
parallel      several processes that train one network
config        from YAML to checked objects, and which run is meant
evaluation    scores, and what can be measured before a training
report        pages and panels to look at
training      the loop, what it says, and resuming
inference     images to denoised images: files, folders, datasets, Python
adapt         a network adapted to images in stages: trains, denoises, trains; what it measures, in words

Training and inference never import each other. For the method read `training.trainer`, then `training.step`.
"""
