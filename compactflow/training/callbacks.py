"""What looks on while flows train."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, final

from torch import Tensor

from compactflow.flows.flow import CompactFlow
from compactflow.training.options import History

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["Callback", "TensorBoard", "TrainingState", "as_callbacks"]


@final
class TrainingState:
    """Where a training run stands.

    Attributes:
        step: The number of steps that are done.
        losses: What the last step's loss was made of, by name, as scalars without a graph:
            ``loss``, and ``pull`` (weighed) and ``push``, or ``anchors`` in a warm-up.
        history: What was found at each check so far: see `compactflow.training.monitors.monitor`.

    Examples:
        >>> class Weights(Callback):
        ...     def on_step(self, state):
        ...         weights = list(state.flows[0].backbone.parameters())
        ...         print(state.step, float(state.losses["loss"]) > 0, len(weights) > 0)
        >>> import numpy as np
        >>> from compactflow import OneClassFlow
        >>> X = np.random.default_rng(0).normal(size=(60, 2))
        >>> detector = OneClassFlow(max_steps=1, members=1, random_state=0)
        >>> _ = detector.fit(X, callbacks=[Weights()])
        1 True True
    """

    def __init__(
        self, flows: Sequence[CompactFlow], history: History, copy_weights: Callable[[], None]
    ) -> None:
        self.step: int = 0
        self.losses: Mapping[str, Tensor] = {}
        self.history: History = history
        self._flows, self._copy_weights = tuple(flows), copy_weights
        self._copied = -1

    @property
    def flows(self) -> tuple[CompactFlow, ...]:
        """The flows with the weights that they have now; to change these changes no training."""
        if self._copied != self.step:
            self.refresh()
        return self._flows

    def refresh(self) -> None:
        """Give the flows the weights of now."""
        self._copy_weights()
        self._copied = self.step


class Callback:
    """Looks on while flows train; a subclass overrides what it needs.

    Its methods run without gradients, and must not change the training.

    Examples:
        >>> class Printer(Callback):
        ...     def on_check(self, state):
        ...         print(state.step, sorted(state.losses))
        >>> import numpy as np
        >>> from compactflow import OneClassFlow
        >>> X = np.random.default_rng(0).normal(size=(60, 2))
        >>> detector = OneClassFlow(max_steps=2, members=1, random_state=0)
        >>> _ = detector.fit(X, callbacks=[Printer()])
        1 ['loss', 'pull', 'push']
        2 ['loss', 'pull', 'push']
    """

    def on_step(self, state: TrainingState) -> None:
        """Called after each step."""

    def on_check(self, state: TrainingState) -> None:
        """Called after each check, of which a run has about twenty."""

    def on_end(self, state: TrainingState) -> None:
        """Called once at the end, when the flows have the weights that are kept."""


def as_callbacks(callbacks: Iterable[Callback]) -> list[Callback]:
    """What looks on, as a list.

    Raises:
        TypeError: If it is no list of callbacks.
    """
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be a list of them, got {callbacks!r}; write [callback]")
    given = list(callbacks)
    for callback in given:
        if not isinstance(callback, Callback):
            raise TypeError(
                "callbacks must be instances of subclasses of "
                f"compactflow.training.callbacks.Callback, and {callback!r} is none"
            )
    return given


@final
class TensorBoard(Callback):
    """Creates a callback that writes losses and monitors for TensorBoard.

    Losses are at ``loss/…``, monitors at ``check/…``.

    Args:
        folder: Where the run's event file is to be.
        every: How many steps apart losses are written.

    Raises:
        ImportError: If the package ``tensorboard`` is not installed.
        ValueError: If `every` is smaller than 1.

    Examples:
        >>> from compactflow import OneClassFlow
        >>> board = TensorBoard("runs/pump", every=5)  # doctest: +SKIP
        >>> OneClassFlow().fit(X, callbacks=[board])  # doctest: +SKIP
    """

    def __init__(self, folder: str | os.PathLike[str], *, every: int = 10) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoard needs a package of that name: pip install 'compactflow[tensorboard]'"
            ) from error
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self._folder, self._every, self._make = os.fspath(folder), every, SummaryWriter
        self._open: SummaryWriter | None = None

    def on_step(self, state: TrainingState) -> None:
        """Write the losses."""
        if state.step % self._every == 0:
            for name, value in state.losses.items():
                self._writer.add_scalar(f"loss/{name}", float(value), state.step)

    def on_check(self, state: TrainingState) -> None:
        """Write the monitors."""
        for name, values in state.history.items():
            if name not in ("step", "loss"):
                self._writer.add_scalar(f"check/{name}", values[-1], state.step)
        self._writer.flush()

    def on_end(self, state: TrainingState) -> None:
        """Close the file."""
        self._writer.close()
        self._open = None

    @property
    def _writer(self) -> SummaryWriter:
        if self._open is None:
            self._open = self._make(self._folder)
        return self._open
