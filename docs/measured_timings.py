"""The aims of speed beside what two runs of ``python -m benchmarks.aims`` printed.

These are `tables/timings-1.json` and `tables/timings-2.json`.
"""

from __future__ import annotations

import json
from statistics import fmean
from typing import Any, NamedTuple

import measured

SEARCH = "the product with 4 × 4,096 reference rows, and the search in it"
CALLS = "some 200 calls of torch, and reading 4 × 4,096 reference points"
BETWEEN = "what lies between the products; a compiler joins it"
TWICE = "two passes, the first with torch's graph for second derivatives"


class Aim(NamedTuple):
    """A line of the table.

    Attributes:
        what: What is measured.
        key: Its name in the files.
        aim: The most that it should be; the least, if it is negative.
        form: How a value is written.
        limit: What limits it, where it is missed.
    """

    what: str
    key: str
    aim: float
    form: str = "{:.2f}"
    limit: str = ""

    def cells(self, runs: list[dict[str, float]]) -> list[str]:
        """The line."""
        values = [run[self.key] for run in runs]
        sign, aim = ("≥", -self.aim) if self.aim < 0 else ("≤", self.aim)
        met = all(value >= aim if self.aim < 0 else value <= aim for value in values)
        verdict = "met" if met else f"missed: {self.limit}".removesuffix(": ")
        cells = [f"{sign} {self.form.format(aim)}", *map(self.form.format, values)]
        return [self.what, *cells, verdict]


def steps(network: str) -> list[Aim]:
    """The steps of a network by every push, to one of FrEIA's."""
    aims = {"likelihood": (0.8, BETWEEN), "stein": (0.8, BETWEEN), "mirror": (1.3, TWICE)}
    return [
        Aim(
            f"{network} step by {push} / FrEIA's by likelihood",
            f"{network} {push} step / FrEIA's likelihood",
            aim,
            limit=limit,
        )
        for push, (aim, limit) in aims.items()
    ]


_NETWORKS = ("coupling compiled", "coupling")
RATE, WHAT = "{:,.0f} rows/s", "score of 50,000 x 32, rows/s"
AIMS = [
    Aim("default fit, median of nine tables", "default fit, median of 9 sets, s", 5, "{:.1f} s"),
    Aim('`preset="fast"`, likewise', "fast fit, median of 9 sets, s", 1.5, "{:.1f} s"),
    Aim("default fit of 500 × 10", "default fit of 500 x 10, s", 3, "{:.1f} s"),
    Aim("score of 50,000 × 32, default", f"default {WHAT}", -100_000, RATE, SEARCH),
    Aim("likewise, fast", f"fast {WHAT}", -100_000, RATE, SEARCH),
    Aim("fast, to IsolationForest's rows/s", "fast score / IForest's", -1, limit=SEARCH),
    Aim("one row of 32 by a loaded model", "default score of one row, ms", 1, "{:.2f} ms", CALLS),
    Aim("likewise, fast", "fast score of one row, ms", 1, "{:.2f} ms", CALLS),
    Aim("fit of 2,000 × 2,000", "fit of 2,000 x 2,000, s", 60, "{:.0f} s"),
    Aim("memory of that process", "fit of 2,000 x 2,000, GB", 2, "{:.2f} GB"),
    Aim("fit of 2,500 × 512", "fit of 2,500 x 512, s", 20, "{:.0f} s"),
    Aim("model file of 400 columns", "model file of 400 columns, MB", 15, "{:.1f} MB"),
    Aim(
        "share of the checks in a default fit",
        "share of the checks",
        0.05,
        "{:.1%}",
        "rows that judge, and their distances to each other",
    ),
    *steps("coupling"),
    *steps("coupling compiled"),
    Aim("coupling step / its products", "coupling stein step / its products", 1.4, limit=BETWEEN),
    Aim(
        "i-ResNet step by Stein: times as fast as normflows' by likelihood",
        "iresnet stein, times as fast",
        -1.8,
        limit="two passes with their gradients, and the bounds on the weights",
    ),
    Aim(
        "import and build, torch aside",
        "import beside torch, s",
        0.3,
        limit="scikit-learn, which imports scipy.stats",
    ),
    Aim(
        "likewise, scikit-learn aside too",
        "import beside torch and scikit-learn, s",
        0.3,
        limit="reading our own modules",
    ),
]


def table(runs: list[dict[str, Any]]) -> str:
    """The table; its last line has the threads of each run, and the machine's load before it."""
    head = ["what", "aim", *(f"run {n + 1}" for n in range(len(runs))), ""]
    lines = [aim.cells([run["values"] for run in runs]) for aim in AIMS]
    machine = [f"{run['threads']}, {run['load before']:.1f}" for run in runs]
    return measured.table(
        head, [*lines, ["threads, and load of the machine", "2, 0", *machine, ""]]
    )


def figures(runs: list[dict[str, Any]]) -> measured.Figures:
    """Ratios of lines in per cent, by the mean of the runs."""
    pairs = {
        "timings compiled step": [f"{name} stein step / FrEIA's likelihood" for name in _NETWORKS],
        "timings fast fit": [f"{name} fit, median of 9 sets, s" for name in ("fast", "default")],
    }
    return {
        name: 100 * fmean(run["values"][one] / run["values"][other] for run in runs)
        for name, (one, other) in pairs.items()
    }


def read() -> list[dict[str, Any]]:
    """What the runs printed."""
    files = sorted((measured.FOLDER / "tables").glob("timings-*.json"))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]
