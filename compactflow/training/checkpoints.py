"""Training that goes on where it was killed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256
from numbers import Integral
from pathlib import Path
from types import FunctionType
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from torch import Tensor, nn

import compactflow
from compactflow import archive
from compactflow.archive import ArchiveError
from compactflow.pushes.base import Push

__all__ = ["Checkpoint", "identify"]

_KIND, _VERSION = "checkpoint", 1
_NAME = "training.checkpoint"

# Arguments that do not change what is learned.
_FREE = ("device", "verbose", "random_state", "boundary")


@final
class Checkpoint:
    """The last state of one run, in a folder of its own. One process at a time may use it.

    Args:
        folder: Where the file is or is to be; made if it is not there.
        identity: What the run is of, by names: a checkpoint of anything else is refused.
        random_state: The run's seed or generator. A run that goes on keeps the seed it had.

    Attributes:
        seed: The seed of the run.
        state: The last state that was saved; ``None`` if the run has yet to begin.

    Raises:
        ValueError: If the folder has the checkpoint of another run, or a damaged one.
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
        for leftover in self._path.parent.glob(f".{_NAME}.*"):  # of a write that was killed
            leftover.unlink()
        if self._path.exists():
            saved = self._read()
            self.seed, self.state = saved["seed"], saved["state"]
        else:
            self.seed, self.state = _draw_seed(random_state), None
            self.save(None)  # so that the seed is kept from the first

    def save(self, state: object) -> None:
        """Replace the state, atomically."""
        content = {"identity": self._identity, "seed": self.seed, "state": state}
        archive.write(self._path, _KIND, _VERSION, content)

    def _read(self) -> Any:  # noqa: ANN401
        try:
            version, saved = archive.read(self._path, _KIND)
        except ArchiveError as error:
            raise ArchiveError(f"{error}; remove it to start anew") from error
        own, other = self._identity, saved["identity"] if version == _VERSION else {}
        different = [name for name in own | other if own.get(name) != other.get(name)]
        if different:
            raise ValueError(
                f"{os.fspath(self._path)!r} is of another run, with other "
                f"{', '.join(different)}; give the folder of this run, or remove that file to "
                "start anew"
            )
        return saved


def identify(params: Mapping[str, Any], data: NDArray[np.float64]) -> dict[str, str]:
    """What a run is of: its data, its settings and the versions that compute it.

    Args:
        params: A detector's arguments.
        data: ``(N, D)``.
    """
    settings = {name: _describe(params[name]) for name in params if name not in _FREE}
    return settings | {
        "data": f"{data.shape} {sha256(np.ascontiguousarray(data).data).hexdigest()}",
        "version of compactflow": compactflow.__version__,
        "version of torch": torch.__version__,
    }


def _describe(value: object) -> str:
    """Text that is the same for equal settings, in any process."""
    if isinstance(value, Mapping):
        return repr(sorted((str(name), _describe(item)) for name, item in value.items()))
    if isinstance(value, type | FunctionType):
        return f"{value.__module__}:{value.__qualname__}"
    if isinstance(value, nn.Module | Push):
        return _digest(value)
    return repr(value)


def _digest(component: nn.Module | Push) -> str:
    """Type, plain attributes and weights of an instance."""
    parts: list[object] = [component]
    weights: dict[str, Tensor] = {}
    if isinstance(component, nn.Module):
        parts, weights = list(component.modules()), component.state_dict()
    digest = sha256()
    for part in parts:
        attributes = sorted(
            (name, value)
            for name, value in vars(part).items()
            if isinstance(value, bool | int | float | str | None)
        )
        digest.update(repr((type(part).__qualname__, attributes)).encode())
    for name, tensor in weights.items():
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return f"{type(component).__qualname__} {digest.hexdigest()}"


def _describe_seed(random_state: int | np.random.RandomState | None) -> str:
    return str(random_state) if isinstance(random_state, Integral) else "a generator"


def _draw_seed(random_state: int | np.random.RandomState | None) -> int:
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))
