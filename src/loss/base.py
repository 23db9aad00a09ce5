"""The interface of loss terms, and the functions they share.

Shape letters: B images, C channels, H rows, W columns.
"""

from typing import Protocol

from torch import Tensor


class LossTerm(Protocol):
    """The distance of denoised images from their targets: the noisy images at blind spots, or clean ones."""

    def __call__(self, denoised: Tensor, target: Tensor, mask: Tensor, /) -> Tensor:
        """Compute the term.

        Parameters
        ----------
        denoised : Tensor
            Output of the network (B, C, H, W), values in about [0, 1].
        target : Tensor
            (B, C, H, W), values in [0, 1]; for `self_` terms the noisy images before masking.
        mask : Tensor
            (B, 1, H, W), 1 = counted, 0 = not counted.

        Returns
        -------
        Tensor
            Scalar >= 0, float32.
        """
        ...


def masked_difference(denoised: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the difference of two images where the mask is 1 and zero elsewhere, (B, C, H, W) float32."""
    # Broadcasting would turn a mask without a channel axis into a wrong value instead of an error.
    if denoised.shape != target.shape or mask.shape != (target.shape[0], 1, *target.shape[2:]):
        raise ValueError(
            "expected denoised and target (B, C, H, W) and mask (B, 1, H, W),"
            f" got {tuple(denoised.shape)}, {tuple(target.shape)} and {tuple(mask.shape)}"
        )
    return (denoised.float() - target.float()) * mask


def mean_of_all(errors: Tensor) -> Tensor:
    """Return the mean over all B*C*H*W elements, including the zeros that the mask does not count.

    The value scales with the masked fraction, as published: the weights and learning rates of published
    configurations rely on this scale.
    """
    return errors.mean()


def mean_of_counted(errors: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of masked errors over the elements that the mask counts; 0 if there are none."""
    return errors.sum() / (mask.sum() * errors.shape[1]).clamp_min(1)
