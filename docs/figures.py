"""Writes into the pages what was measured: ``python docs/figures.py``.

The measurements are the files in `tables/`, see `measured`. A number in a sentence has its name
behind it, which GitHub, package indexes and the site leave out: ``a mean AUROC of
.833<!-- seeds compactflow all -->``. It keeps its decimals. A table stands between a line
``<!-- NAME -->`` and a line ``<!-- end of table -->``.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import measured_guide
import measured_timings
from measured import Benchmark, Figures, Supports, read
from measured_dirty import Dirty
from measured_paper import Samples, Table1

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/howto").glob("*.md")),
]

_NUMBER = re.compile(r"(?P<shown>[^\s(\[*|]+)<!-- (?P<name>[^>]+) -->")


@cache
def collect() -> tuple[Figures, dict[str, str]]:
    """All figures, and all tables."""
    seeds = Benchmark("seeds", read("tables/detection.csv"))
    peers = Benchmark("peers", read("tables/detection-peers.csv"))
    deep = Benchmark("deep", read("tables/detection-deep.csv"))
    supports = Supports(read("tables/supports.csv"), peers.rows)
    table1 = Table1("table1", read("reproduction-table1.csv"))
    moco = Table1("moco", read("tables/table1-moco.csv"))
    samples = Samples(read("tables/samples.csv"))
    dirty = Dirty(read("tables/dirty.csv"))
    runs = measured_timings.read()
    figures: Figures = measured_guide.figures() | measured_timings.figures(runs)
    for part in (seeds, peers, deep, supports, table1, moco, samples, dirty):
        figures |= part.figures()
    tables = {
        "detection": seeds.table(),
        "detection-peers": peers.table(),
        "detection-deep": deep.table(),
        "losses": seeds.losses(),
        "supports": supports.table(),
        "table1": table1.table(),
        "moco": moco.table(),
        "pairs": table1.pairs(),
        "inside": table1.inside(),
        "samples": samples.table(),
        "dirty": dirty.table(),
        **measured_guide.tables(),
        "aims": measured_timings.table(runs),
    }
    return figures, tables


def render(page: str) -> str:
    """The page with the present figures and tables.

    Raises:
        KeyError: If a name is unknown.
    """
    figures, tables = collect()
    names = "|".join(tables)
    place = re.compile(rf"(<!-- ({names}) -->\n).*?(<!-- end of table -->)", re.DOTALL)
    page = place.sub(lambda found: found[1] + tables[found[2]] + found[3], page)
    return _NUMBER.sub(
        lambda found: f"{_show(figures[found['name']], found['shown'])}<!-- {found['name']} -->",
        page,
    )


def _show(value: float | str, shown: str) -> str:
    """The value with as many decimals as are shown, and with a 0 before them if that has one."""
    if isinstance(value, str):
        return value
    decimals = len(shown.partition(".")[2])
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("0") if shown.startswith(".") else text


def main() -> None:
    """Rewrite all pages."""
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        path.write_text(render(page), encoding="utf-8")


if __name__ == "__main__":
    main()
