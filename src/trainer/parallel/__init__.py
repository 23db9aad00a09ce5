"""Several processes that train one network, each with its share of every batch.

`distributed` starts them and lets them talk; `shared_norm` gives batch norm the statistics of the whole
batch; `data_errors` makes all of them stop at what one of them cannot read.
"""
