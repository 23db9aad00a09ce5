"""The loss terms, by their names in configurations."""

from torch import Tensor

from src.loss.base import LossTerm, masked_difference, mean_of_all, mean_of_counted


def self_l1(denoised: Tensor, noisy: Tensor, mask: Tensor) -> Tensor:
    """Absolute error on the masked pixels; see `LossTerm` and, for the scale, `mean_of_all`."""
    return mean_of_all(masked_difference(denoised, noisy, mask).abs())


def self_l2(denoised: Tensor, noisy: Tensor, mask: Tensor) -> Tensor:
    """Squared error on the masked pixels; see `LossTerm` and, for the scale, `mean_of_all`."""
    return mean_of_all(masked_difference(denoised, noisy, mask).square())


def target_l1(denoised: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error; see `LossTerm` and `mean_of_counted`."""
    return mean_of_counted(masked_difference(denoised, target, mask).abs(), mask)


def target_l2(denoised: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error; see `LossTerm` and `mean_of_counted`."""
    return mean_of_counted(masked_difference(denoised, target, mask).square(), mask)


LOSSES: dict[str, LossTerm] = {
    "self_L1": self_l1,
    "self_L2": self_l2,
    "target_L1": target_l1,
    "target_L2": target_l2,
}
"""The terms of the configuration key `training.loss`.

`self_` terms compare with hidden pixels of the noisy image, `target_` terms with a separate target image.
Each objective accepts one of the two kinds."""
