import pytest

from src.trainer.inference.denoise_files import FileDenoiser


@pytest.fixture
def unchanged(trained):
    """A denoiser whose network returns its input, so that any difference comes from the file handling."""
    trained.network.module.forward = lambda images, window=None: images
    return FileDenoiser(trained)
