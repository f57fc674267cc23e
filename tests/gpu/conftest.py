"""One fixture: the `cuda` back end on a real device, or a reason to skip."""

import os

import pytest

from engine.backends.cuda import CudaBackend
from engine.backends.probe import probe_cuda


@pytest.fixture(scope="session")
def cuda_backend():
    """Skip without a usable device, or fail if SCRIBBLE_REQUIRE_GPU=1."""
    probe = probe_cuda()
    if probe.is_usable:
        return CudaBackend()
    message = f"{probe.reason} {probe.cure}"
    if os.environ.get("SCRIBBLE_REQUIRE_GPU") == "1":
        pytest.fail(f"SCRIBBLE_REQUIRE_GPU is 1, but: {message}")
    return pytest.skip(message)
