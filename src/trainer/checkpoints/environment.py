"""The software and hardware that affect the last digits of a training."""

import torch


def environment(device: torch.device, processes: int = 1) -> dict[str, str]:
    """Describe torch, the training's device, CPU threads and number of processes, for a checkpoint."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "torch": str(torch.__version__), "device": name, "CPU threads": str(torch.get_num_threads()),
        "processes": str(processes),
    }  # fmt: skip


def changes_of_environment(before: dict[str, str], now: dict[str, str]) -> str:
    """Describe the differences of two environments; an empty string if there are none."""
    return ", ".join(
        f"{name} {value} instead of {before[name]}"
        for name, value in now.items()
        if name in before and before[name] != value
    )
