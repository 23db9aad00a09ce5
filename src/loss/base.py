"""What every loss term is, and the two steps that the masked ones share.

Shape letters: B images, C channels, H rows, W columns.
"""

from typing import Protocol

from torch import Tensor


class LossTerm(Protocol):
    """How far the denoised image is from the noisy one where the network could not see it."""

    def __call__(self, denoised: Tensor, noisy: Tensor, mask: Tensor) -> Tensor:
        """Compute the term.

        Parameters
        ----------
        denoised : Tensor
            Output of the network for the masked image, (B, C, H, W), values about [0, 1].
        noisy : Tensor
            The unmasked noisy images, (B, C, H, W), values in [0, 1].
        mask : Tensor
            1 = replaced in the network's input and counted here, 0 = not counted; (B, 1, H, W).

        Returns
        -------
        Tensor
            Scalar >= 0, float32.
        """
        ...


def masked_difference(denoised: Tensor, noisy: Tensor, mask: Tensor) -> Tensor:
    """Difference of the two images where the mask is 1, zero elsewhere; (B, C, H, W), float32."""
    # Broadcasting would turn a mask without its channel axis into a wrong value instead of an error.
    if denoised.shape != noisy.shape or mask.shape != (noisy.shape[0], 1, *noisy.shape[2:]):
        raise ValueError(
            "expected denoised and noisy (B, C, H, W) and mask (B, 1, H, W),"
            f" got {tuple(denoised.shape)}, {tuple(noisy.shape)} and {tuple(mask.shape)}"
        )
    return (denoised.float() - noisy.float()) * mask


def mean_of_all(errors: Tensor) -> Tensor:
    """Mean over all B*C*H*W elements, the unmasked zeros included: it scales with the masked fraction.

    Published behaviour; weights and learning rates of published configurations belong to this scale.
    """
    return errors.mean()
