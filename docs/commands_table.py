"""Writes the commands and their options into commands.md: ``python docs/commands_table.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from compactflow import cli

PAGE = Path(__file__).with_name("commands.md")
START, END = "<!-- commands -->\n", "<!-- end of commands -->\n"


def render() -> str:
    """A section for each command: what it does, an example, its options."""
    group: Any = typer.main.get_command(cli.app)
    return "\n".join(line for name in group.commands for line in _section(name, group)) + "\n"


def _section(name: str, group: Any) -> Iterator[str]:  # noqa: ANN401  # typer's or click's class
    command = group.commands[name]
    yield f"\n## {name}\n"
    yield command.help
    yield f"\n```text\n{command.epilog.removeprefix('Example: ')}\n```\n"
    yield "| option | meaning |\n| --- | --- |"
    for parameter in command.params:
        if not parameter.hidden and parameter.help:
            yield _option(parameter)


def _option(parameter: Any) -> str:  # noqa: ANN401
    optional = parameter.opts[0].startswith("-")
    names = [*parameter.opts, *parameter.secondary_opts] if optional else [parameter.metavar]
    told = " ".join(parameter.help.split()).replace("|", "\\|")
    needed = " Required." if parameter.required and optional else ""
    repeated = " May be repeated." if parameter.multiple else ""
    return f"| {', '.join(f'`{name}`' for name in names)} | {told}{needed}{repeated} |"


def main() -> None:
    """Put the present commands in their place."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    PAGE.write_text(before + START + render() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
