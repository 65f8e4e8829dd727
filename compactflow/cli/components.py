"""Components: listing them and starting one's own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from rich.table import Table
from rich.text import Text

from compactflow.cli.app import app
from compactflow.cli.options import AsJson
from compactflow.cli.output import print_json, print_line, printable
from compactflow.plugins import Kind
from compactflow.plugins.scaffold import KINDS
from compactflow.terminal import Terminal

__all__ = ["new_plugin", "plugins"]

_KINDS = get_args(Kind)


@app.command(epilog="Example: compactflow plugins --kind latent --json")
def plugins(
    kind: Annotated[str | None, typer.Option(help=f"Only these: {', '.join(_KINDS)}.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the components by name, and the plugins that failed to load and why."""
    from compactflow.plugins import registry

    if kind is not None and kind not in _KINDS:
        raise ValueError(f"--kind must be one of {', '.join(_KINDS)}, got {kind!r}")
    names = ("name", "kind", "distribution", "version", "status", "summary", "error")
    rows = [
        {name: getattr(component, name) for name in names}
        for component in registry.available(cast("Kind | None", kind))
    ]
    if as_json:
        print_json(rows)
        return
    headers = [name for name in names if any(row[name] for row in rows)]
    table = Table(*headers)
    for row in rows:
        table.add_row(*(Text(printable(row[name])) for name in headers))
    Terminal().print(table)


@app.command("new-plugin", epilog="Example: compactflow new-plugin torus --kind latent")
def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case words joined by '-'.")],
    kind: Annotated[str, typer.Option(help=f"One of {', '.join(KINDS)}.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to make it in.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Write a package with a working component of your own, its plugin and its tests.

    It installs and passes its own tests as it is; replace its mathematics by yours.
    """
    from compactflow.plugins import scaffold

    paths = scaffold.new_plugin(name, cast("Kind", kind), out)
    package = str(paths[0].parent)
    if as_json:
        print_json({"package": package, "files": [str(path) for path in paths]})
        return
    for path in paths:
        print_line("wrote", path)
    folder = shlex.quote(package)
    print_line("next", f"python -m pip install -e '{folder}[test]' && pytest {folder}")
