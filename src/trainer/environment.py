"""What besides the configuration decides the last digits of a training."""

import torch


def environment(device: torch.device) -> dict[str, str]:
    """The version of torch, the device and the threads, for a checkpoint.

    Parameters
    ----------
    device : torch.device
        Where the network is trained.

    Returns
    -------
    dict of str to str
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "torch": str(torch.__version__), "device": name, "CPU threads": str(torch.get_num_threads())
    }  # fmt: skip


def changes_of_environment(before: dict[str, str], now: dict[str, str]) -> str:
    """What differs between two environments, in words; nothing where they are alike."""
    return ", ".join(
        f"{name} {value} instead of {before[name]}"
        for name, value in now.items()
        if name in before and before[name] != value
    )
