"""Engines in commands: what they draw to fit on, and the folder of scores that they make."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactflow.files import check_new, write_folder

if TYPE_CHECKING:
    from compactflow.workers import Workers

__all__ = ["drawn_elsewhere", "needing_a_library", "score_elsewhere"]


@contextmanager
def needing_a_library() -> Iterator[None]:
    """Take a library that an engine or a model needs, and that is not installed, for an input."""
    try:
        yield
    except ImportError as error:
        raise ValueError(str(error)) from error


@contextmanager
def drawn_elsewhere(engine: Workers | None, train: Path, most: int, seed: int) -> Iterator[Path]:
    """The table to fit on: of Parquet files an engine draws the rows, into a file of their own.

    Args:
        engine: What draws; ``None`` for this process, which draws as it reads.
        train: The table, or with an engine a folder of Parquet files.
        most: How many rows to draw at most.
        seed: Of the draw.

    Raises:
        ValueError: If the files are unfit, or what is done with the table raises it.
        OSError: If they cannot be read.
    """
    if engine is None or not (train.is_dir() or train.suffix.lower() == ".parquet"):
        yield train
        return
    import pyarrow.parquet as pq

    from compactflow.engines.drawing import draw
    from compactflow.tables.sampling import tell_drawn

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "drawn.parquet")
        with needing_a_library():
            table, rows = draw(engine, train, most, seed)
        pq.write_table(table, file)
        tell_drawn(train, most, rows)
        try:
            yield file
        except ValueError as error:
            raise ValueError(str(error).replace(str(file), f"{train}, as drawn")) from error


def score_elsewhere(
    engine: str,
    model: Path,
    new: Path,
    out: Path | None,
    given: Mapping[str, Any],
    outputs: Mapping[str, str],
    device: str,
) -> dict[str, Any]:
    """Score Parquet files by an engine.

    Args:
        engine: Its name.
        model: The model file.
        new: A Parquet file or a folder of them.
        out: The folder to make.
        given: Options that no engine takes, and what they were given.
        outputs: Outputs of the scorer, and the columns they go to.
        device: A torch device, or ``"auto"``.

    Returns:
        A summary.

    Raises:
        ValueError: If an option, a file or the engine is unfit.
        OSError: If a file is missing or cannot be written.
    """
    for option, value in given.items():
        if value is not None:
            raise ValueError(f"{option} is not for --engine; leave it out")
    assert out is not None  # without it there must have been --top
    check_new(out)
    from compactflow.engines.base import Engine
    from compactflow.plugins import registry
    from compactflow.scoring import ArrowScorer

    made = registry.load("engine", engine)()
    if not isinstance(made, Engine):
        raise ValueError(f"the engine {engine!r} must be made by a class of Engine, got {made!r}")
    scorer = ArrowScorer(model, outputs=outputs, device=device)
    if scorer.model.encoder is not None and scorer.model.encoder.windows is not None:
        raise ValueError(
            f"{model} sees rows with those before them, which an engine has elsewhere; leave out "
            "--engine"
        )
    with needing_a_library():
        _check_columns(new, scorer)
        write_folder(out, lambda temporary: made.score(scorer, new, temporary))
    summary = _count(out, outputs["outlier"])
    return {"model": scorer.digest, **summary, "scores": str(out)}


def _check_columns(new: Path, scorer: Any) -> None:  # noqa: ANN401
    """Check that the files can be scored, before an engine starts."""
    from compactflow.engines.groups import columns

    schema = columns(new)
    try:
        scorer(schema.empty_table())
    except ValueError as error:
        raise ValueError(f"{new}: {error}") from error


def _count(folder: Path, outlier: str) -> dict[str, int]:
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    rows = outliers = 0
    for batch in ds.dataset(folder, format="parquet").to_batches(columns=[outlier]):
        rows += batch.num_rows
        outliers += pc.sum(batch.column(0)).as_py() or 0
    return {"rows": rows, "outliers": outliers}
