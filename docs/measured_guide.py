"""What the pages of the guide show, of the files that commands printed: see `measured`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pandas as pd
from measured import FOLDER, Figures, read, table

from compactflow.experiments.reproduce import pushes

_MEASURES = ("auroc", "false alarms", "outliers found")


def _gaps() -> tuple[Figures, str]:
    """``python -m benchmarks.gaps``: the AUROC with cells missing, the mean over the sets."""
    rows = pd.DataFrame(read("tables/gaps.csv"))
    means = rows.pivot_table("auroc", "missing", "detector", sort=False)
    lines = [
        [f"{100 * share:.0f} %", *map(_in_thousandths, line)] for share, line in means.iterrows()
    ]
    return {"gaps sets": rows["set"].nunique()}, table(["missing", *means.columns], lines)


def series(name: str) -> str:
    """``python -m benchmarks.series``: means over files, by a boundary that stays or follows."""
    rows = pd.DataFrame(read(f"tables/series-{name}.csv"))
    several = [name for name in ("sensors", "window") if rows[name].nunique() > 1]
    means = rows.groupby([*several, "detector", "boundary"], sort=False)[[*_MEASURES]].mean()
    head = [
        *several,
        "detector",
        "AUROC, follows",
        *(f"{what}, follows" for what in _MEASURES[1:]),
    ]
    return table(head, _pairs(means.unstack(sort=False), several))


def _pairs(means: pd.DataFrame, several: Sequence[str]) -> Iterator[list[str]]:
    before: list[str] = []
    for names, line in means.iterrows():
        *places, detector = [names] if isinstance(names, str) else names
        places = [f"{place:.0f}" if isinstance(place, float) else place for place in places]
        shown = ["" if places == before else place for place in places]
        before = places
        aurocs, *shares = ([line[what, way] for way in ("stays", "follows")] for what in _MEASURES)
        yield [
            *shown,
            detector,
            ", ".join(map(_in_thousandths, aurocs)),
            *(", ".join(f"{100 * share:.0f} %" for share in pair) for pair in shares),
        ]


def pushes_table() -> str:
    """``compactflow reproduce pushes``: the mean over the seeds, the lowest and the highest."""
    rows = read("tables/pushes.csv")
    return table(pushes.HEAD, ([f"`{name}`", *cells] for name, *cells in pushes.summary(rows)))


def figures() -> Figures:
    """What the sentences name."""
    found: Figures = {}
    for row in read("tables/mixed.csv"):
        found[f"mixed {row['detector']}"] = row["auroc"]
        if row["inliers outside"] is not None:
            found["mixed outside"] = 100 * row["inliers outside"]
    for row in read("tables/known.csv"):
        found[f"known {row['known']:.0f}"] = row["auroc"]
        if row["largest loss"] is not None:
            found["known largest loss"] = row["largest loss"]
    means = pd.DataFrame(read("tables/pushes.csv")).groupby("push")["auroc"].mean()
    found["pushes differ"] = float(means.max() - means.min())
    return found | _gaps()[0] | _gpu()[0]


def _gpu() -> tuple[Figures, str]:
    """What ran on a GPU once."""
    told = json.loads((FOLDER / "tables/gpu.json").read_text(encoding="utf-8"))
    lines = [
        [what, *("" if value is None else f"{value:.1f}" for value in values)]
        for what, values in told["milliseconds"].items()
    ]
    figures = {f"gpu {name}": value for name, value in told["figures"].items()}
    return figures, table([told["size"], "FrEIA", "coupling", "compiled"], lines)


def tables() -> dict[str, str]:
    """The tables by name."""
    return {
        "gaps": _gaps()[1],
        "series-skab": series("skab"),
        "series-nab": series("nab"),
        "pushes": pushes_table(),
        "gpu": _gpu()[1],
    }


def _in_thousandths(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")
