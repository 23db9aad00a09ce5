"""Several processes train one network, each with its share of every batch.

`distributed` connects the processes, `shared_norm` shares batch norm among them, and `data_errors` stops all
of them when one cannot read an image.
"""
