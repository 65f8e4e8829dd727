"""Files from which a training that was killed resumes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from hashlib import sha256
from numbers import Integral
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from torch import Tensor

from compactflow._version import __version__
from compactflow.files import locked
from compactflow.persistence import archive
from compactflow.persistence.archive import ArchiveError
from compactflow.text import message_of, printable
from compactflow.training.identity import describe

__all__ = ["Checkpoint", "check_like", "identify"]

_KIND, _VERSION = "checkpoint", 2
_NAME, _LOCK = "training.checkpoint", ".training.lock"

# Arguments that do not change what is learned.
_FREE = ("device", "verbose", "random_state", "boundary")


@final
class Checkpoint:
    """The last state of one run, in a folder of its own that it locks while it is open.

    It is a context manager. A process that ends in whatever way gives up its lock.

    Args:
        folder: Where the file is or is to be; made if it is not there.
        identity: What makes the run, by names: a checkpoint of any other run is refused.
        random_state: The run's seed or generator. A run that goes on keeps the seed it had.

    Attributes:
        seed: The seed of the run.
        state: The last state that was saved; ``None`` if the run has yet to begin.

    Raises:
        ValueError: If another run has the folder, or had it and left its checkpoint, or the
            checkpoint is damaged.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        identity: Mapping[str, str],
        random_state: int | np.random.RandomState | None,
    ) -> None:
        self._path = Path(folder) / _NAME
        self._identity = dict(identity) | {"random_state": _describe_seed(random_state)}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self._path.with_name(_LOCK), wait=False))
            except BlockingIOError:
                raise ValueError(
                    f"the checkpoint folder {os.fspath(folder)!r} is in use by another fit; wait "
                    "for it to end, or give another folder"
                ) from None
            for leftover in self._path.parent.glob(f".*.{_NAME}"):  # of a write that was killed
                leftover.unlink()
            if self._path.exists():
                self.seed, self.state = self._read()
            else:
                self.seed, self.state = _draw_seed(random_state), None
                self.save(None)  # so that the seed is kept from the first
            self._open = stack.pop_all()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def save(self, state: object) -> None:
        """Replace the state, atomically."""
        content = {"identity": self._identity, "seed": self.seed, "state": state}
        archive.write(self._path, _KIND, _VERSION, content)

    def resume(self, restore: Callable[[Any], None]) -> int:
        """Give the saved state to `restore`.

        Returns:
            The number of steps that the run has done: 0, with nothing to restore, if it is new.

        Raises:
            ArchiveError: If the state does not fit.
        """
        if self.state is None:
            return 0
        try:
            restore(self.state["run"])
            return int(self.state["step"])
        except Exception as error:  # the file may be anybody's
            raise self._refused(f"does not fit: {message_of(error)}") from error

    def _read(self) -> tuple[int, Any]:
        try:
            version, saved = archive.read(self._path, _KIND)
            own, other = self._identity, dict(saved["identity"]) if version == _VERSION else {}
            seed, state = int(saved["seed"]), saved["state"]
        except ArchiveError as error:
            raise ArchiveError(f"{error}; remove it to start anew") from error
        except Exception as error:  # the file may be anybody's
            raise self._refused(f"is damaged: {message_of(error)}") from error
        different = [name for name in own | other if own.get(name) != other.get(name)]
        if different:
            raise ValueError(
                f"{os.fspath(self._path)!r} is of another run, with other "
                f"{', '.join(map(printable, different))}; give the folder of this run, or remove "
                "that file to start anew"
            )
        return seed, state

    def _refused(self, cause: str) -> ArchiveError:
        return ArchiveError(f"{os.fspath(self._path)!r} {cause}; remove it to start anew")


def identify(params: Mapping[str, Any], data: NDArray[np.float64]) -> dict[str, str]:
    """What makes a run: its data, its settings and the versions of the code that computes it.

    Args:
        params: A detector's arguments.
        data: ``(N, D)``.
    """
    settings = {name: describe(params[name]) for name in params if name not in _FREE}
    return settings | {
        "data": f"{data.shape} {sha256(np.ascontiguousarray(data).data).hexdigest()}",
        "version of compactflow": __version__,
        "version of torch": torch.__version__,
    }


def check_like(own: object, saved: object, name: str) -> None:
    """Check that a saved state has the types and shapes of the present one, where that has any.

    Raises:
        ValueError: If it has others; what computes with them could end the process.
    """
    fits = type(saved) is type(own)
    if isinstance(own, Tensor) and isinstance(saved, Tensor):
        fits = own.shape == saved.shape and own.dtype == saved.dtype
    elif isinstance(own, Mapping) and isinstance(saved, Mapping):
        fits = not own or own.keys() == saved.keys()
        for key in own if fits else ():
            check_like(own[key], saved[key], f"{name} {key}")
    elif isinstance(own, list | tuple) and isinstance(saved, list | tuple):
        fits = not own or len(own) == len(saved)
        for one, other in zip(own, saved, strict=False):
            check_like(one, other, name)
    elif isinstance(own, int | float) and not isinstance(own, bool):
        fits = isinstance(saved, int | float) and not isinstance(saved, bool)
    elif isinstance(own, str):
        fits = own == saved
    if not fits:
        raise ValueError(f"its {name} is of another type or shape")


def _describe_seed(random_state: int | np.random.RandomState | None) -> str:
    return str(random_state) if isinstance(random_state, Integral) else "a generator"


def _draw_seed(random_state: int | np.random.RandomState | None) -> int:
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))
