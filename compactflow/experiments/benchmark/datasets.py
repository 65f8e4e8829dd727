"""The data sets in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compactflow.experiments.datasets import load_npz

__all__ = ["find"]


def find(folder: Path, names: Sequence[str] | None = None) -> list[Path]:
    """Find and check the data sets in a folder, so that a bad file stops a run before it starts.

    Args:
        folder: Holds ``.npz`` files as `compactflow.experiments.datasets.load_npz` reads them.
        names: File names without ``.npz``; all if ``None``.

    Returns:
        The files, sorted by name.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no data set, or not one that was asked for, or one is malformed.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no data folder {folder}")
    files = {path.stem: path for path in sorted(folder.glob("*.npz"))}
    if not files:
        raise ValueError(f"the data folder {folder} holds no .npz file")
    unknown = [name for name in names or () if name not in files]
    if unknown:
        raise ValueError(f"there is no data set {unknown[0]!r}; there are {', '.join(files)}")
    chosen = [path for name, path in files.items() if names is None or name in names]
    for path in chosen:
        load_npz(path)
    return chosen
