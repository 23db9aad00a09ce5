"""Training a network.

For the method read `trainer`, the loop, and `step`, the update from one batch. `session` builds both for a
run's folder. It uses `start` for initial weights, `resuming` to continue from a checkpoint, and `file_list`
to keep a run to the images that it began with. `stage` passes data between trainings in a row.

`reporter` writes the log and the scores, with `loss_record`, `stopwatch` and `board` (TensorBoard).
`bystander` replaces it in processes other than the first. `due` decides when to save and validate, `best`
which score is the best, and `stopping` handles signals.
"""
