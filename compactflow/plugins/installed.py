"""The plugins that installed distributions name, found whatever else is wrong with them."""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distributions
from typing import Any, final

from compactflow.text import one_line

__all__ = ["GROUP", "Installed", "find_plugins", "same_distribution"]

GROUP = "compactflow"
"""The group of entry points that plugins are in."""

_NAMELESS = "unknown"
_ENTRY = re.compile(
    r"(?P<name>[^=]*[^=\s])\s*=\s*(?P<value>[A-Za-z_][\w.]*(\s*:\s*[\w.]+)?)\s*(\[.*\])?"
)


@final
@dataclass(frozen=True)
class Installed:
    """A line of a distribution's entry points."""

    distribution: str
    version: str
    line: str

    @property
    def name(self) -> str:
        """The entry point's name; the whole line, if it has none."""
        return self.line.partition("=")[0].strip() or self.line

    @property
    def order(self) -> tuple[str, str, str]:
        """What plugins are sorted by."""
        return _normalise(self.distribution), self.name, self.line

    def load(self) -> object:
        """Import what the line names."""
        entry = _ENTRY.fullmatch(self.line)
        if not entry:
            raise ValueError(
                f"its entry point reads {self.line!r}, and must read 'name = package.module'"
            )
        return EntryPoint(entry["name"], entry["value"], GROUP).load()


def find_plugins() -> Iterator[Installed]:
    """The plugins of all distributions; the first on the path hides others of its name.

    `importlib.metadata.entry_points` would stop at the first file that it cannot read.
    """
    seen: set[str] = set()
    for distribution in distributions():
        text = _read(distribution, "entry_points.txt")
        lines = list(_entry_lines(text))
        if not lines:
            continue
        name, version = _origin(distribution)
        if name != _NAMELESS:
            if _normalise(name) in seen or _is_hidden(name, text):
                continue
            seen.add(_normalise(name))
        yield from (Installed(name, version, line) for line in lines)


def _is_hidden(name: str, text: str) -> bool:
    """Whether one of the name, with other entry points, is earlier on the path."""
    try:
        return _read(Distribution.from_name(name), "entry_points.txt") != text
    except (PackageNotFoundError, ValueError):  # its name and the name of its folder differ
        return False


def _origin(distribution: Distribution) -> tuple[str, str]:
    """Name and version; one that is half removed has no metadata, and so neither."""
    metadata: Any = {}
    try:
        metadata = distribution.metadata
    except UnicodeDecodeError as error:
        metadata = email.message_from_string(_replace(error))
    except Exception:
        pass
    return one_line(metadata.get("Name") or _NAMELESS), one_line(metadata.get("Version") or "")


def _read(distribution: Distribution, name: str) -> str:
    """A file of a distribution; empty if there is none, and what is no UTF-8 replaced."""
    try:
        return distribution.read_text(name) or ""
    except UnicodeDecodeError as error:
        return _replace(error)
    except Exception:
        return ""


def _replace(error: UnicodeDecodeError) -> str:
    return error.object.decode("utf-8", "replace")


def _entry_lines(text: str) -> Iterator[str]:
    """The lines of our group of entry points."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line
        elif section == f"[{GROUP}]" and line and not line.startswith("#"):
            yield line


def same_distribution(a: str, b: str) -> bool:
    """Whether two distribution names are the same after normalisation (PEP 503)."""
    return _normalise(a) == _normalise(b)


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
