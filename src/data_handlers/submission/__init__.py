"""What the servers of benchmarks take: `sidd` and `dnd` make the files and check them.

`results` finds the denoised images; `order` tells whether they are in order, `resemblance` how much they
resemble the noisy ones, and `check` asks both. `layout` says how many there must be, `matlab` reads files
back, and `staging` gives a submission its name when it is whole.
"""
