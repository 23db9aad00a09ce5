"""Training a network.

`trainer` is the loop and `step` what happens to one batch: read these two for the method. `session` builds
both for a run's folder, with `start`, the weights that it begins with, or `resuming`, what it goes on from,
and `file_list`, the images that it keeps to; `stage` is what it has from others where several follow each
other. `reporter` says how it goes, with `loss_record`, `stopwatch` and `board`; `due` says when something is
to be done, `best` which score is the best; `bystander` does nothing, in processes other than the first;
`stopping` hears signals. `demo` is what runs without flags.
"""
