"""The data sets in folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compactflow.experiments.datasets import load_npz

__all__ = ["find"]


def find(folders: Sequence[Path], names: Sequence[str] | None = None) -> list[Path]:
    """Find and check the data sets in folders, so that a bad file stops a run before it starts.

    Args:
        folders: Hold ``.npz`` files as `compactflow.experiments.datasets.load_npz` reads them.
        names: File names without ``.npz``; all if ``None``.

    Returns:
        The files, folder by folder, sorted by name.

    Raises:
        FileNotFoundError: If a folder does not exist.
        ValueError: If a folder holds no data set, if two hold one of the same name, if one that
            was asked for is in none, or if one is malformed.
    """
    files: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no data folder {folder}")
        found = sorted(folder.glob("*.npz"))
        if not found:
            raise ValueError(f"the data folder {folder} holds no .npz file")
        for path in found:
            if files.setdefault(path.stem, path) != path:
                raise ValueError(
                    f"{files[path.stem]} and {path} have the same name; results would be mixed"
                )
    unknown = [name for name in names or () if name not in files]
    if unknown:
        raise ValueError(f"there is no data set {unknown[0]!r}; there are {', '.join(files)}")
    chosen = [path for name, path in files.items() if names is None or name in names]
    for path in chosen:
        load_npz(path)
    return chosen
