"""What is shown to users: notes, and text from files, models and plugins, made safe."""

from __future__ import annotations

import re

__all__ = ["Note", "cause_of", "message_of", "one_line", "printable", "shown"]

# Control characters, lone surrogates, and what reorders or hides text. Joiners, which some
# scripts need, can do neither.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_LONGEST = 4000  # characters of a message


class Note(UserWarning):
    """A choice that was made for the user, such as how a file is read; all may be well."""


def shown(value: object) -> str:
    """A cell as it is shown to a reader: a number with few digits, text that is `printable`.

    Examples:
        >>> shown(3.14159), shown(12345.6), shown(6.02e23), shown("Oslo"), shown(None)
        ('3.142', '12346', '6.02e+23', 'Oslo', 'missing')
    """
    if value is None:
        return "missing"
    if not isinstance(value, float):
        return printable(value)
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:.4g}"


def printable(text: object) -> str:
    r"""Text that cannot steer a terminal: control characters as escapes, such as ``\x1b``.

    Examples:
        >>> print(printable("pump\x1b[2J\n"))
        pump\x1b[2J\n
    """
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def one_line(text: str) -> str:
    r"""Printable text on one line, of bounded length.

    Examples:
        >>> one_line("too\n  wide")
        'too wide'
    """
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


def message_of(error: BaseException) -> str:
    """What an error says, on one line; the error may be anybody's, and fail at that too.

    Examples:
        >>> message_of(ValueError("too wide"))
        'too wide'
        >>> message_of(KeyError("width")), message_of(KeyboardInterrupt())
        ("KeyError: 'width'", 'KeyboardInterrupt')
    """
    said = _said(error)
    return cause_of(error) if not said or isinstance(error, KeyError) else said


def cause_of(error: BaseException) -> str:
    """The type of an error and what it says, on one line.

    Examples:
        >>> cause_of(ValueError("too wide"))
        'ValueError: too wide'
    """
    name, said = one_line(type(error).__name__), _said(error)
    return f"{name}: {said}" if said else name


def _said(error: BaseException) -> str:
    try:
        return one_line(str(error))
    except KeyboardInterrupt:
        raise
    except BaseException:
        return "it cannot say what is wrong, as its str() fails"
