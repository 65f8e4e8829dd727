"""Modules whose buffers take their shape from data."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

__all__ = ["Resizable"]


class Resizable(nn.Module):
    """A module that loads buffers of another shape than its own, or of which it has none yet."""

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        *args: Any,  # noqa: ANN401
    ) -> None:
        place = next((value.device for value in self._buffers.values() if value is not None), None)
        for name, value in self._buffers.items():
            saved = state_dict.get(prefix + name)
            if isinstance(saved, Tensor) and (value is None or value.shape != saved.shape):
                dtype = saved.dtype if value is None else value.dtype
                self._buffers[name] = saved.new_empty(saved.shape, dtype=dtype, device=place)
        super()._load_from_state_dict(state_dict, prefix, *args)
