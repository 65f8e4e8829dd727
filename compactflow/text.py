"""Text from files, models and plugins, made safe to show."""

from __future__ import annotations

import re

__all__ = ["printable"]

# Control characters, lone surrogates, and what reorders or hides text. Joiners, which some
# scripts need, can do neither.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def printable(text: object) -> str:
    r"""Text that cannot steer a terminal: control characters as escapes, such as ``\x1b``.

    Examples:
        >>> print(printable("pump\x1b[2J\n"))
        pump\x1b[2J\n
    """
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))
