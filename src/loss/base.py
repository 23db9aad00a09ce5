"""What every loss term is, and the two steps that the masked ones share.

Shape letters: B images, C channels, H rows, W columns.
"""

from typing import Protocol

from torch import Tensor


class LossTerm(Protocol):
    """How far the denoised image is from its target: the noisy one where it was hidden, or the clean one."""

    def __call__(self, denoised: Tensor, target: Tensor, mask: Tensor, /) -> Tensor:
        """Compute the term.

        Parameters
        ----------
        denoised : Tensor
            Output of the network, (B, C, H, W), values about [0, 1].
        target : Tensor
            What it is compared with, (B, C, H, W), values in [0, 1]: for `self_` terms the noisy images, of
            which nothing is hidden.
        mask : Tensor
            1 = counted here, 0 = not counted; (B, 1, H, W).

        Returns
        -------
        Tensor
            Scalar >= 0, float32.
        """
        ...


def masked_difference(denoised: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Difference of the two images where the mask is 1, zero elsewhere; (B, C, H, W), float32."""
    # Broadcasting would turn a mask without its channel axis into a wrong value instead of an error.
    if denoised.shape != target.shape or mask.shape != (target.shape[0], 1, *target.shape[2:]):
        raise ValueError(
            "expected denoised and target (B, C, H, W) and mask (B, 1, H, W),"
            f" got {tuple(denoised.shape)}, {tuple(target.shape)} and {tuple(mask.shape)}"
        )
    return (denoised.float() - target.float()) * mask


def mean_of_all(errors: Tensor) -> Tensor:
    """Mean over all B*C*H*W elements, the unmasked zeros included: it scales with the masked fraction.

    Published behaviour; weights and learning rates of published configurations belong to this scale.
    """
    return errors.mean()


def mean_of_counted(errors: Tensor, mask: Tensor) -> Tensor:
    """Mean over the elements that a mask counts, of errors that are zero elsewhere; zero where none is."""
    return errors.sum() / (mask.sum() * errors.shape[1]).clamp_min(1)
