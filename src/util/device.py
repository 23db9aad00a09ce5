"""Choose the device, from the `-g` flag."""

import torch

from src.util.errors import ConfigError


def resolve_device(choice: str | None, local_rank: int | None = None) -> tuple[torch.device, str]:
    """Turn the `-g` flag into a device.

    Parameters
    ----------
    choice : str or None
        A GPU's number, ``cpu``, ``mps``, or None (or ``auto``) for the first GPU if any, else the CPU.
    local_rank : int, optional
        Rank of this process on this machine, if several train together. Each takes the GPU of its rank.

    Returns
    -------
    device : torch.device
    line : str
        The choice in words, for the log.

    Raises
    ------
    ConfigError
        When the GPU does not exist, or more than one is given.
    """
    count = torch.cuda.device_count()
    if local_rank is not None and (choice not in (None, "auto", "cpu") or (count and choice != "cpu")):
        return _own_gpu(choice, local_rank, count)
    if choice is None or choice == "auto":
        if count:
            return torch.device("cuda", 0), f"device: GPU 0, {torch.cuda.get_device_name(0)}"
        return torch.device("cpu"), "device: CPU (no CUDA GPU found; -g mps selects an Apple GPU)"
    if choice == "cpu":
        return torch.device("cpu"), "device: CPU, as requested"
    if choice == "mps":
        if not torch.backends.mps.is_available():
            raise ConfigError("-g mps: this machine has no Apple GPU that PyTorch can use; try -g cpu")
        return torch.device("mps"), "device: Apple GPU, as requested"
    if not choice.isdecimal():
        raise ConfigError(f"-g {choice}: expected the number of one GPU, cpu, mps or auto")
    if int(choice) >= count:
        there = f"only {', '.join(map(str, range(count)))}" if count else "no CUDA GPU"
        raise ConfigError(f"-g {choice}: that GPU is not there ({there} found); use -g cpu for the CPU")
    name = torch.cuda.get_device_name(int(choice))
    return torch.device("cuda", int(choice)), f"device: GPU {choice}, {name}"


def has_gpu() -> bool:
    """Return whether there is a CUDA GPU, not only a PyTorch built for one."""
    return torch.cuda.device_count() > 0


def computes_bf16(device: torch.device) -> bool:
    """Return whether a device computes bfloat16 in hardware; emulated it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def _own_gpu(choice: str | None, local_rank: int, count: int) -> tuple[torch.device, str]:
    """Return the GPU of one of several processes, and the line for the log."""
    if choice not in (None, "auto"):
        raise ConfigError(
            f"-g {choice}: each of several processes takes its own GPU; leave -g out, or use -g cpu"
            " (CUDA_VISIBLE_DEVICES=0,2 before torchrun selects GPUs)"
        )
    if local_rank >= count:
        raise ConfigError(f"--nproc_per_node: {count} GPUs found, too few for process {local_rank + 1}")
    torch.cuda.set_device(local_rank)  # for collective operations
    name = torch.cuda.get_device_name(local_rank)
    return torch.device("cuda", local_rank), f"device: GPU {local_rank}, {name}"
