"""Devices, threads and what a timing's record tells of them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
import torch


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device there is, with the same seed; ``OMP_NUM_THREADS`` sets the CPU's threads."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    torch.manual_seed(0)
    return torch.device(request.param)


@pytest.fixture
def timed(benchmark: Any, device: torch.device) -> Callable[..., None]:  # noqa: ANN401
    """Time a call, waiting for the device, and record what the timing depends on."""

    def run(function: Callable[[], object], *, group: str, **info: object) -> None:
        def call() -> None:
            function()
            if device.type == "cuda":
                torch.cuda.synchronize()

        benchmark.group = f"{group}, {device.type}"
        benchmark.extra_info.update(
            info,
            device=device.type,
            dtype="float32",
            threads=torch.get_num_threads(),
            torch=torch.__version__,
            compactflow=version("compactflow"),
        )
        benchmark.pedantic(call, rounds=15, warmup_rounds=3)

    return run
