"""The loss terms: how far the denoised image is from the noisy one where the network could not see it.

Shape letters: B images, C channels, H rows, W columns.
"""

from collections.abc import Callable

from torch import Tensor


def self_l1(denoised: Tensor, noisy: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error on the masked pixels, see `_mean_of_all` for what it is divided by.

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
    return _mean_of_all(_masked_difference(denoised, noisy, mask).abs())


def self_l2(denoised: Tensor, noisy: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error on the masked pixels, see `_mean_of_all` for what it is divided by.

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
    return _mean_of_all(_masked_difference(denoised, noisy, mask).square())


def _mean_of_all(errors: Tensor) -> Tensor:
    # Over all B*C*H*W elements, the unmasked zeros included: so the value scales with the masked fraction.
    # Published behaviour; weights and learning rates of published configurations belong to this scale.
    return errors.mean()


def _masked_difference(denoised: Tensor, noisy: Tensor, mask: Tensor) -> Tensor:
    """Difference of the two images where the mask is 1, zero elsewhere; (B, C, H, W), float32."""
    # Broadcasting would turn a mask without its channel axis into a wrong value instead of an error.
    if denoised.shape != noisy.shape or mask.shape != (noisy.shape[0], 1, *noisy.shape[2:]):
        raise ValueError(
            "expected denoised and noisy (B, C, H, W) and mask (B, 1, H, W),"
            f" got {tuple(denoised.shape)}, {tuple(noisy.shape)} and {tuple(mask.shape)}"
        )
    return (denoised.float() - noisy.float()) * mask


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"self_L1": self_l1, "self_L2": self_l2}
