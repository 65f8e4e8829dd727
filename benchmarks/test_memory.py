"""Peak memory of a step, and of scoring more and more rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.memory import peak_growth
from benchmarks.sizes import Size
from benchmarks.steps import make_step
from compactflow import build

Record = Callable[..., None]

_DIM = 32


@pytest.mark.parametrize(
    ("name", "push"),
    [
        ("coupling", "likelihood"),
        ("coupling", "mirror"),
        ("coupling", "stein"),
        ("FrEIA", "likelihood"),
        ("iresnet", "stein"),
        ("normflows residual", "likelihood"),
    ],
)
def test_step_memory(benchmark: Any, record: Record, name: str, push: str) -> None:  # noqa: ANN401
    """What the first step allocates, with its gradients."""
    size = Size(128, 4096)
    arguments = (make_step, name, push, size, torch.device("cpu"))
    what = f"{name} {push}"
    record(f"step memory {size}, cpu", what, reference="FrEIA likelihood", **size._asdict())
    benchmark.extra_info["peak_mib"] = benchmark.pedantic(peak_growth, arguments, rounds=1)


@pytest.mark.parametrize("rows", [10_000, 100_000, 1_000_000])
def test_score_memory(benchmark: Any, record: Record, rows: int) -> None:  # noqa: ANN401
    """What scoring allocates beyond the rows themselves, in float64 as they come."""
    group = f"score memory D={_DIM}, cpu"
    record(group, f"{rows} rows", reference="10000 rows", dim=_DIM, rows=rows)
    benchmark.extra_info["peak_mib"] = benchmark.pedantic(
        peak_growth, (make_scoring, rows), rounds=1
    )


def make_scoring(rows: int) -> Callable[[], object]:
    """Make a call that scores so many rows."""
    rng = np.random.default_rng(0)
    detector = build(max_steps=1, random_state=0).fit(rng.normal(size=(256, _DIM)))
    X = rng.normal(size=(rows, _DIM))
    return lambda: detector.signed_distance(X)
