"""Every detector on every data set and seed, by the clean one-class protocol."""

from __future__ import annotations

import hashlib
import shlex
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from joblib import Parallel, delayed
from rich.table import Table
from sklearn.metrics import average_precision_score, roc_auc_score

from compactflow._version import __version__
from compactflow.experiments.benchmark import datasets, report
from compactflow.experiments.benchmark.detectors import DETECTORS, check_name, find_absent, load
from compactflow.experiments.benchmark.journal import Journal, Task
from compactflow.experiments.benchmark.measurement import fit_and_score
from compactflow.experiments.datasets import load_npz, split
from compactflow.experiments.rows import Row
from compactflow.terminal import track
from compactflow.text import cause_of
from compactflow.workers import Workers, find_workers

__all__ = ["JOURNAL", "measure", "run"]

JOURNAL = "journal.jsonl"

_PROTOCOL = 2
_FIELDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("auroc", "average_precision", "fit_seconds", "score_seconds"), float),
    "inside": (float, type(None)),
    **dict.fromkeys(("n_train", "n_test", "dim"), int),
    "folder": str,
}


def run(
    data: Sequence[Path],
    out: Path,
    *,
    detectors: Sequence[str] | None,
    sets: Sequence[str] | None,
    seeds: int,
    jobs: int,
    dirty: float = 0.0,
    engine: str | None = None,
) -> Table:
    """Measure detectors on folders of data sets and write the report.

    Each result is kept in ``journal.jsonl`` as soon as it is there: a run that was killed goes on
    where it stopped when it is started again with the same folders. Results of other data,
    another protocol or another compactflow version are left alone; failed ones are tried again.

    Args:
        data: Folders of ``.npz`` files with ``X`` ``(n, D)`` and ``y`` ``(n,)``, 1 for outliers.
        out: The folder to write to; made if it does not exist. See
            `compactflow.experiments.benchmark.report` for what is written.
        detectors: Names of detectors, variants of ours included; ``None`` for all detectors that
            are installed. A peer behind one of our first layers is ``"KNN@marginal"``.
        sets: Names of data sets, which are the files' names without ``.npz``; ``None`` for all.
        seeds: How many; they are 0, 1, ...
        jobs: How many processes; each computes with one thread.
        dirty: Share of the outliers that is mixed into training, in [0, 1); the others test.
        engine: The name of an engine to run on instead, as many at a time as it has workers. They
            must reach the data by the same paths.

    Returns:
        The ranking, for the terminal.

    Raises:
        FileNotFoundError: If there is no such data folder.
        ValueError: If an argument or a data set is unfit, or if a detector that was asked for is
            unknown or not installed.
        ImportError: If the engine's library is not installed.
    """
    for name, value in {"seeds": seeds, "jobs": jobs}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if not 0 <= dirty < 1:
        raise ValueError(f"dirty must be at least 0 and less than 1, got {dirty}")
    if engine is not None and jobs != 1:
        raise ValueError(f"jobs is for this machine; leave it out with engine={engine!r}")
    workers = None if engine is None else find_workers(engine)
    chosen, absent = _choose(detectors)
    paths = {path.stem: path.resolve() for path in datasets.find(data, sets)}
    tasks = _plan(paths, chosen, seeds, dirty)
    out.mkdir(parents=True, exist_ok=True)
    journal = Journal(out / JOURNAL, _FIELDS)
    _complete(journal, tasks, paths, jobs, workers)
    command = _command(data, detectors, sets, seeds, jobs, dirty, engine)
    return report.write(out, [journal.rows[task] for task in tasks], absent, command)


def measure(path: Path, task: Task) -> Row:
    """Quality and times of one detector on one split of one data set.

    Returns:
        The fields of the task and the measurements: AUROC and average precision on the test rows,
        seconds of fitting and of scoring the test rows, and of a detector with signed distances
        the share of the test inliers that it calls inliers. If the detector fails, these are
        ``None`` and ``error`` says why.
    """
    train, test, outlier = split(*load_npz(path), task.seed, dirty=task.dirty)
    row = task._asdict() | dict.fromkeys(report.COLUMNS.keys() - set(Task._fields))
    row["folder"] = path.parent.resolve().name
    row |= {"n_train": len(train), "n_test": len(test), "dim": train.shape[1]}
    try:
        fit = load(task.detector)
        scores, boundary, *seconds, _ = fit_and_score(fit, train, test, task.seed)
        row |= {
            "auroc": float(roc_auc_score(outlier, scores)),
            "average_precision": float(average_precision_score(outlier, scores)),
        }
        row["fit_seconds"], row["score_seconds"] = seconds
        if boundary is not None:
            row["inside"] = float((scores[~outlier] <= boundary).mean())
    except (Exception, SystemExit) as error:  # what goes wrong in one must not stop the others
        row["error"] = cause_of(error)
    return row


def _choose(names: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
    """The detectors to run, and those left out with how to install them."""
    for name in names or ():
        check_name(name)
    absent = find_absent(DETECTORS if names is None else names)
    if names is not None and absent:
        name, install = next(iter(absent.items()))
        raise ValueError(f"the detector {name!r} is not installed; run {install!r}")
    wanted = DETECTORS if names is None else names
    return [name for name in dict.fromkeys(wanted) if name not in absent], absent


def _plan(
    paths: dict[str, Path], detectors: Sequence[str], seeds: int, dirty: float
) -> list[Task]:
    """Seed by seed, so that a run that is stopped early has seen every set."""
    hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}
    return [
        Task(name, detector, seed, hashes[name], _PROTOCOL, __version__, dirty)
        for seed in range(seeds)
        for name in paths
        for detector in detectors
    ]


def _measure(paths: dict[str, Path], task: Task) -> Row:
    return measure(paths[task.set], task)


def _complete(
    journal: Journal,
    tasks: list[Task],
    paths: dict[str, Path],
    jobs: int,
    workers: Workers | None,
) -> None:
    """Run the tasks that the journal does not hold yet."""
    pending = journal.find_pending(tasks)
    others = {(*task[:3], task.dirty) for task in journal.rows.keys() - set(tasks)}
    stale = sum((*task[:3], task.dirty) in others for task in pending)
    if stale:
        warnings.warn(
            f"{JOURNAL} has {stale} results of other data, another protocol or another "
            "compactflow version; they are measured again",
            stacklevel=3,
        )
    rows: Iterable[Row]
    if workers is None:
        rows = Parallel(n_jobs=jobs, return_as="generator_unordered")(
            delayed(_measure)(paths, task) for task in pending
        )
    else:
        rows = workers.run(_measure, paths, pending)
    for row in track(rows, "benchmark", len(pending)):
        journal.append(row)


def _command(
    data: Sequence[Path],
    detectors: Sequence[str] | None,
    sets: Sequence[str] | None,
    seeds: int,
    jobs: int,
    dirty: float,
    engine: str | None,
) -> str:
    """The command line, with the data folders' bare names."""
    words = ["compactflow", "benchmark"]
    words += [word for folder in data for word in ("--data", folder.resolve().name)]
    for option, names in {"--detectors": detectors, "--sets": sets}.items():
        words += [option, ",".join(names)] if names is not None else []
    words += ["--seeds", str(seeds)]
    words += ["--jobs", str(jobs)] if engine is None else ["--engine", engine]
    return shlex.join([*words, *(["--dirty", str(dirty)] if dirty else [])])
