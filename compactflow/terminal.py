"""What goes to the terminal: text that can only be shown, and how far a long piece of work is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment

from compactflow.text import printable

__all__ = ["Terminal", "progress", "track"]

T = TypeVar("T")

_SECONDS = 30.0  # between two lines


@final
class Terminal(Console):
    """A console on which control characters in text, wherever it is from, are shown as escapes."""

    def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:  # noqa: ANN401
        """Render as rich does, and then clean what is text."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                text = "\n".join(map(printable, segment.text.split("\n")))
                yield Segment(text, segment.style)


@contextmanager
def progress(
    title: str, total: int | None, *, show: bool = True
) -> Iterator[Callable[[int], None]]:
    """Show on stderr how far a piece of work is, while in the block.

    Args:
        title: What the work is called, and what is counted.
        total: How much there is to do; ``None`` if that is not known.
        show: Whether to show anything.

    Yields:
        A function to call with how much is done so far.
    """
    console = Terminal(file=sys.stderr)
    if not show:
        yield lambda done: None
    elif console.is_terminal or console.is_jupyter:
        columns = TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, transient=True, console=console) as bars:
            bar = bars.add_task(title, total=total)
            yield lambda done: bars.update(bar, completed=done)
    else:
        yield _lines(title, total)


def track(items: Iterable[T], title: str, total: int | None, *, show: bool = True) -> Iterator[T]:
    """Yield items, and show how many are done."""
    with progress(title, total, show=show) as reach:
        for done, item in enumerate(items, start=1):
            reach(done)
            yield item


def _lines(title: str, total: int | None) -> Callable[[int], None]:
    # What is redirected later is not where lines go: a detector that is run may be made quiet.
    file, last = sys.stderr, time.monotonic()

    def reach(done: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS:
            last = time.monotonic()
            of_all = f" of {total}" if total else ""
            print(printable(f"{title}: {done}{of_all}"), file=file, flush=True)

    return reach
