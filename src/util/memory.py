"""Running out of memory, told from other errors."""

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the machine or of a GPU did not suffice.

    Parameters
    ----------
    error : BaseException
        torch raises OutOfMemoryError for a GPU, but a plain RuntimeError for the machine's own memory.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
