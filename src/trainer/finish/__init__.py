"""Post-processing of denoised images: `finish` restores light and detail that the network removed.

`flat_places` measures the noise, `light` restores mean brightness and colour, on the smooth `field`s that
`smaller` versions of the image refine, `detail` restores texture; `strips` processes large images piece by
piece.
"""

from src.trainer.finish.finish import NOTHING, Finish, Parts, found_gamma
from src.trainer.finish.light import gamma_of
from src.trainer.finish.smaller import SIZES

__all__ = ["NOTHING", "SIZES", "Finish", "Parts", "found_gamma", "gamma_of"]
