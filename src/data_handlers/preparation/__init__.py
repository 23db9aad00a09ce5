"""Benchmarks' frames cut into pieces that are read quickly: what `prep_SIDD.py` and `prep_DND.py` do."""
