"""Calls of one function that may be made elsewhere: the interface of what makes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, TypeVar

from compactflow.plugins import registry

__all__ = ["EngineChoice", "Result", "Shared", "Task", "Workers", "find_workers"]

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")


class Workers(ABC):
    """Calls a function on tasks, in other processes or on other machines.

    What it runs depends on its arguments alone, so a task whose worker died is run again.

    Examples:
        >>> class Here(Workers):
        ...     def run(self, function, shared, tasks):
        ...         return (function(shared, task) for task in tasks)
        >>> list(Here().run(pow, 2, [1, 2, 3]))
        [2, 4, 8]
    """

    @abstractmethod
    def run(
        self,
        function: Callable[[Shared, Task], Result],
        shared: Shared,
        tasks: Sequence[Task],
    ) -> Iterable[Result]:
        """Call ``function(shared, task)`` for each task.

        Args:
            function: Importable by name.
            shared: What all calls take; sent once to each worker, and not to be changed by them.
            tasks: What each call takes. All three can be pickled.

        Returns:
            The results, in the order of the tasks. What a call raises is raised.

        Raises:
            ImportError: If a library is needed and not installed.
            OSError: If the workers are lost.
        """


EngineChoice: TypeAlias = str | type[Workers] | Workers


def find_workers(engine: EngineChoice) -> Workers:
    """The engine of that name, or of that class; an instance as it is.

    Raises:
        ValueError: If there is none, or it is no engine.
    """
    found = registry.resolve("engine", engine)
    made = found() if callable(found) else found
    if not isinstance(made, Workers):
        raise ValueError(f"engine must be a name, a class or an instance of Engine, got {made!r}")
    return made
