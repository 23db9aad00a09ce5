"""What is done to an image after the network: `finish` gives back light and detail that it took off.

`flat_places` tell how strong the noise is, `light` in which light it is fair, `detail` what is more than
noise; `strips` is how large images are gone through.
"""

from src.trainer.finish.finish import NOTHING, Finish, Parts, found_gamma
from src.trainer.finish.light import gamma_of

__all__ = ["NOTHING", "Finish", "Parts", "found_gamma", "gamma_of"]
