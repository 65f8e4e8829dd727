"""Text that is the same for equal settings in any process; a user's own code counts too."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from hashlib import sha256
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

__all__ = ["describe"]

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))

# Code that the versions stand for, which a checkpoint names.
_KNOWN = sys.stdlib_module_names | {"compactflow", "torch", "numpy"}
# What a class has beside what was written into it.
_AUTOMATIC = {"__dict__", "__weakref__", "__doc__", "__firstlineno__", "_abc_impl"}


def describe(value: object) -> str:
    """Text that is equal for equal settings, and different for others.

    Functions and classes count with their code, the values they close over and the globals that
    they use, unless they are Python's, torch's, numpy's or of this package; tensors and arrays
    count with their numbers; other objects with what pickling would keep.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, _PLAIN):
        return repr(value)
    digest = _Digest()
    digest.add(value)
    name = getattr(value, "__qualname__", type(value).__qualname__)
    return f"{name} {digest.hash.hexdigest()}"


@final
class _Digest:
    """The hash of a value, as a walk through all that it is made of."""

    def __init__(self) -> None:
        self.hash = sha256()
        self._seen: dict[int, tuple[int, object]] = {}  # keeps objects alive, and so ids unique

    def add(self, value: Any) -> None:  # noqa: ANN401
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, _PLAIN):
            self._write(type(value).__name__, repr(value))
        elif id(value) in self._seen:
            self._write("again", self._seen[id(value)][0])
        else:
            self._seen[id(value)] = len(self._seen), value
            self._write(type(value).__qualname__)
            self._add_new(value)

    def _add_new(self, value: Any) -> None:  # noqa: ANN401
        if isinstance(value, Tensor):
            array = value.detach().cpu()
            self._write(value.dtype, tuple(value.shape), value.requires_grad)
            self.hash.update(array.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, np.ndarray) and value.dtype != object:
            self._write(value.dtype, value.shape)
            self.hash.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, Mapping):
            self.add([(key, value[key]) for key in sorted(value, key=describe)])
        elif isinstance(value, set | frozenset):
            self.add(sorted(value, key=describe))
        elif isinstance(value, list | tuple):
            self._write(len(value))
            for item in value:
                self.add(item)
        elif isinstance(value, ModuleType):
            self._write(value.__name__)
        elif isinstance(value, CodeType):
            self._write(value.co_code.hex(), value.co_names)
            self.add(value.co_consts)
        elif isinstance(value, FunctionType):
            self._add_function(value)
        elif isinstance(value, MethodType | staticmethod | classmethod):
            self.add([value.__func__, getattr(value, "__self__", None)])
        elif isinstance(value, property):
            self.add([value.fget, value.fset, value.fdel])
        elif isinstance(value, type):
            self._add_class(value)
        else:
            self._add_instance(value)

    def _add_function(self, function: FunctionType) -> None:
        self._write(function.__module__, function.__qualname__)
        cells = [_content(cell) for cell in function.__closure__ or ()]
        self.add([function.__defaults__, function.__kwdefaults__, cells])
        if not _is_known(function):
            used = _names(function.__code__) & function.__globals__.keys()
            self.add([function.__code__, {name: function.__globals__[name] for name in used}])

    def _add_class(self, cls: type) -> None:
        self._write(cls.__module__, cls.__qualname__)
        if not _is_known(cls):
            own = {name: item for name, item in vars(cls).items() if name not in _AUTOMATIC}
            self.add([cls.__bases__, own])

    def _add_instance(self, value: object) -> None:
        try:
            parts = value.__reduce_ex__(2)
        except Exception:  # it cannot be pickled
            parts = (type(value), getattr(value, "__dict__", None))
        for part in parts if isinstance(parts, tuple) else (parts,):
            self.add(list(part) if hasattr(part, "__next__") else part)

    def _write(self, *parts: object) -> None:
        self.hash.update(repr(parts).encode("utf-8", "surrogatepass"))


def _is_known(code: Any) -> bool:  # noqa: ANN401
    return str(code.__module__).partition(".")[0] in _KNOWN


def _names(code: CodeType) -> set[str]:
    """The names that a function's code and that of functions in it refer to."""
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*inner)


def _content(cell: Any) -> object:  # noqa: ANN401
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled
        return None
