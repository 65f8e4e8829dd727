"""Devices, sizes and passes of the timings, and what the record of one tells."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
import torch

from benchmarks.peers import BACKBONES, COMPILED, PEERS
from benchmarks.sizes import ALL, BASE, SWEEP

_SECONDS = 0.5  # that a measurement should take; more where a few rounds take longer
# Other sizes or other maps than the rest, and slow: one of zuko's decodes takes 10 s.
_FULL = {"zuko:MAF", "zuko:NSF", "normflows:RealNVP", "normflows:MAF", "normflows:NSF"}
_PACKAGES = ("compactflow", "torch", "FrEIA", "normflows", "zuko", "scikit-learn", "pyod")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the benchmarks."""
    group = parser.getgroup("compactflow")
    group.addoption("--full", action="store_true", help="all sizes and the large data sets")
    group.addoption("--passes", type=int, default=1, help="how often to go through all timings")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Go through all timings once and again, so that what is compared is interleaved."""
    metafunc.parametrize("turn", range(metafunc.config.getoption("passes")))
    if "size" in metafunc.fixturenames:
        everything = [*BACKBONES, COMPILED, *PEERS]
        if metafunc.config.getoption("full"):
            cases = [(size, name) for size in ALL for name in everything]
        else:
            cases = [(BASE, name) for name in everything if name not in _FULL]
            cases += [(size, name) for size in SWEEP for name in ("coupling", "FrEIA")]
        metafunc.parametrize(
            ("size", "name"), cases, ids=["x".join(map(str, s)) + f"-{name}" for s, name in cases]
        )


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device there is, with the same seed; ``OMP_NUM_THREADS`` sets the CPU's threads."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    torch.manual_seed(0)
    return torch.device(request.param)


@pytest.fixture(scope="session")
def versions() -> dict[str, str]:
    """The versions of what is compared."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except ModuleNotFoundError:
            found[name] = "absent"
    return found


@pytest.fixture
def record(benchmark: Any, versions: dict[str, str], turn: int) -> Callable[..., None]:  # noqa: ANN401
    """Write down what a measurement is of, what it is compared with and what it depends on."""

    def write(group: str, name: str, *, reference: str, **info: object) -> None:
        benchmark.group = group
        benchmark.extra_info.update(
            info,
            name=name,
            reference=reference,
            turn=turn,
            threads=torch.get_num_threads(),
            versions=versions,
        )

    return write


@pytest.fixture
def timed(
    benchmark: Any,  # noqa: ANN401
    device: torch.device,
    record: Callable[..., None],
) -> Callable[..., None]:
    """Time a call after a warm-up, waiting for the device."""

    def run(function: Callable[[], object], group: str, name: str, **info: Any) -> None:  # noqa: ANN401
        def call() -> None:
            function()
            if device.type == "cuda":
                torch.cuda.synchronize()

        record(f"{group}, {device.type}", name, device=device.type, dtype="float32", **info)
        call()
        start = time.perf_counter()
        call()
        rounds = int(_SECONDS / (time.perf_counter() - start))
        benchmark.pedantic(call, rounds=min(max(rounds, 3), 30))

    return run
