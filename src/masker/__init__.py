"""Maskers choose which pixels are hidden from the network, and what replaces them.

`base` defines the interface; `non_local` and `n2v` implement it. Both place blind spots with `blind_spots`.
`non_local` can also place them on a `grid`. It searches with `similarity` (`levels` for 8-bit images, both
over `patches`) and copies what it found with `paste`. `n2v` takes its values from `replacement`.
"""

from src.masker.base import Masked, Masker
from src.masker.n2v import N2VMasker, StructN2V
from src.masker.non_local import NonLocalMasker

MASKERS: dict[str, type[Masker]] = {
    "Masker": NonLocalMasker,
    "N2V_Masker": N2VMasker,
}
"""The values of the configuration key `masker_type`."""

__all__ = ["MASKERS", "Masked", "Masker", "N2VMasker", "NonLocalMasker", "StructN2V"]
