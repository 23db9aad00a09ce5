"""Maskers: which pixels are hidden from the network, and what stands in their place.

`base` says what a masker gives and takes; `non_local` and `n2v` are the two. Both hide at `blind_spots`.
Those of the first lie on a `grid`, too; its search is `similarity` (`levels` for 8-bit images, over
`patches`), whose finds `paste` puts there. The fills of the second are `replacement`.
"""

from src.masker.base import Masked, Masker
from src.masker.n2v import N2VMasker, StructN2V
from src.masker.non_local import NonLocalMasker

MASKERS: dict[str, type[Masker]] = {
    "Masker": NonLocalMasker,
    "N2V_Masker": N2VMasker,
}
"""What a configuration's `masker_type` may be."""

__all__ = ["MASKERS", "Masked", "Masker", "N2VMasker", "NonLocalMasker", "StructN2V"]
