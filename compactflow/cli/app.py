"""The application: what all commands share, and how errors end it."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from types import TracebackType
from typing import Annotated, Any

import typer

from compactflow._version import __version__
from compactflow.cli.output import json_only, logs_shown
from compactflow.text import Note, message_of, one_line, printable

__all__ = ["app", "main"]

# Typer's name for wrong usage; since 0.26 it is no longer click's, but always BadParameter's base.
_UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="compactflow",
    help="One-class learning and outlier detection with compact-latent flows.",
    rich_markup_mode="markdown",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 a fault of the program; 2 wrong input, with one line on stderr "
    "that says what and why; 130 interrupted.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The command and its arguments; those of the process if not given.

    Returns:
        The exit code: 0; 2 for wrong input, after one line on stderr that says what is wrong; 1
        if a component ends the process; or 130 if interrupted. A fault of the program is raised,
        and so ends the process with 1.
    """
    if arguments is None:  # this is the process, which a fault ends
        sys.excepthook = _show_fault
        arguments = sys.argv[1:]
    arguments = list(arguments) or ["--help"]
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        if "--json" in arguments:
            stack.enter_context(json_only())
        if "--verbose" in arguments:
            stack.enter_context(logs_shown())
        warnings.showwarning = _show_warning
        try:
            code = _command().main(arguments, prog_name="compactflow", standalone_mode=False)
            return int(code or 0)
        except typer.Abort:
            return 130
        except _UsageError as error:
            message = f"{error.format_message().rstrip('.')}; see {error.ctx.command_path} --help"
        except (ValueError, OSError) as error:
            message = message_of(error)
        except SystemExit as error:
            if isinstance(error.__context__, BrokenPipeError):
                raise  # the reader of the output has had enough
            _say("error", f"a component ended the command by sys.exit({error.code!r})")
            return 1
    _say("error", message)
    return 2


@cache
def _command() -> Any:  # noqa: ANN401 - typer's, of a library that it has changed
    """All commands, which typer takes a while to make."""
    return typer.main.get_command(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"compactflow {__version__}")
        raise typer.Exit


_Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
]


_Verbose = Annotated[
    bool, typer.Option("--verbose", help="Show on stderr what is logged, before the command.")
]


@app.callback()
def _before_any_command(version: _Version = False, verbose: _Verbose = False) -> None:
    """Declares the options that are not of one command."""


def _say(kind: str, message: str) -> None:
    """Print a message as one line on stderr."""
    print(f"{kind}: {one_line(message)}", file=sys.stderr)


def _show_fault(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print a traceback; the message of an error can be anybody's."""
    text = "".join(traceback.format_exception(kind, error, trace))
    print("\n".join(map(printable, text.split("\n"))), file=sys.stderr, end="")


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    _say("note" if isinstance(message, Note) else "warning", str(message))
