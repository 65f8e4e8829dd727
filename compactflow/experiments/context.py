"""What it is worth to judge rows given their context, on a table of groups.

``python -m compactflow.experiments.context hour.csv --context hr --features temp,hum,cnt``
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

from compactflow.detector.building import build

__all__ = ["Outcome", "compare", "main"]

Array = NDArray[np.float64]

_NOMINAL, _NEAR = 0.05, 0.03


@final
@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a detector fares on rows of groups.

    Attributes:
        auroc: Of new rows against the same rows moved to other groups.
        outside: The share of new rows outside, at a nominal 5 %.
        groups: The same for each group.
        rows: How many new rows each group has.
    """

    auroc: float
    outside: float
    groups: Array
    rows: Array

    @property
    def near(self) -> float:
        """The share of groups of which the false alarms are within 3 points of nominal."""
        return float((np.abs(self.groups - _NOMINAL) <= _NEAR).mean())

    @property
    def possible(self) -> float:
        """The share that would be, on average, were each new row outside with 5 % chance."""
        most, least = (np.floor(self.rows * (_NOMINAL + side * _NEAR)) for side in (1, -1))
        least += least < self.rows * (_NOMINAL - _NEAR)
        law = binom(self.rows, _NOMINAL)
        return float((law.cdf(most) - law.cdf(least - 1)).mean())


def compare(
    table: pd.DataFrame,
    context: str,
    *,
    rows: int | None = None,
    seed: int = 0,
    **arguments: Any,  # noqa: ANN401
) -> dict[str, Outcome]:
    """Fit on half of a table, and judge the other half, and the same rows in other groups.

    The rivals are a detector that has the group as one more feature, one that does not know it,
    and one detector for each group.

    Args:
        table: The features, and the group of each row.
        context: The column of groups.
        rows: How many training rows a group has at most.
        seed: Of the split, the moves and the detectors.
        **arguments: Of the detectors.

    Returns:
        What each gives, by name.
    """
    rng = np.random.default_rng(seed)
    table = table.assign(**{context: table[context].astype(str)})
    table = table.iloc[rng.permutation(len(table))].reset_index(drop=True)
    train, new = table[: len(table) // 2], table[len(table) // 2 :].reset_index(drop=True)
    train = (train if rows is None else train.groupby(context).head(rows)).reset_index(drop=True)
    names = np.unique(train[context])
    moved = new.assign(**{context: rng.choice(names, len(new))})
    moved = moved[moved[context] != new[context]].reset_index(drop=True)
    arguments = {"boundary": 1 - _NOMINAL, "random_state": seed} | arguments
    found = {}
    # Groups that have numbers for names are groups all the same.
    given = build(context=[context], categorical=[context], **arguments).fit(train)
    found["given the context"] = _judge(given.signed_distance, new, moved, context)
    joint = build(categorical=[context], **arguments).fit(train)
    found["the group as a feature"] = _judge(joint.signed_distance, new, moved, context)
    blind = build(**arguments).fit(train.drop(columns=context))
    without = {"columns": context}
    found["without the group"] = _judge(
        lambda rows: blind.signed_distance(rows.drop(**without)), new, moved, context
    )
    single = {
        name: build(**arguments).fit(own.drop(columns=context))
        for name, own in train.groupby(context)
    }

    def alone(rows: pd.DataFrame) -> Array:
        scores = np.zeros(len(rows))
        for name, own in rows.groupby(context):
            scores[own.index] = single[name].signed_distance(own.drop(columns=context))
        return scores

    found["a detector for each group"] = _judge(alone, new, moved, context)
    return found


def _judge(score: Any, new: pd.DataFrame, moved: pd.DataFrame, context: str) -> Outcome:  # noqa: ANN401
    inlier, outlier = score(new), score(moved)
    truth = np.repeat([0, 1], [len(inlier), len(outlier)])
    outside = pd.Series(inlier > 0).groupby(new[context].to_numpy())
    return Outcome(
        auroc=float(roc_auc_score(truth, np.concatenate([inlier, outlier]))),
        outside=float((inlier > 0).mean()),
        groups=outside.mean().to_numpy(),
        rows=outside.size().to_numpy(),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", help="A CSV file.")
    parser.add_argument(
        "--context", required=True, help="The column of groups, or several, with commas."
    )
    parser.add_argument("--features", required=True, help="Columns to judge, with commas.")
    parser.add_argument("--rows", type=int, help="Training rows of a group at most.")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    table = pd.read_csv(given.table)
    group = table[given.context.split(",")].astype(str).agg(" ".join, axis=1)
    table = table[given.features.split(",")].assign(**{given.context: group})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = compare(table, given.context, rows=given.rows, seed=given.seed)
    print("| detector | AUROC | outside | groups from | to | within 3 points | by chance |")
    print("|---|---|---|---|---|---|---|")
    for name, one in found.items():
        low, high = one.groups.min(), one.groups.max()
        print(
            f"| {name} | {one.auroc:.3f} | {one.outside:.1%} | {low:.1%} | {high:.1%} "
            f"| {one.near:.0%} | {one.possible:.0%} |"
        )


if __name__ == "__main__":
    main()
