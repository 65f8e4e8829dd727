"""Detectors ranked over data sets, after Demšar (2006).

*Statistical comparisons of classifiers over multiple data sets*, JMLR 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, studentized_range, wilcoxon

from compactflow.experiments.rows import Row

__all__ = ["Line", "Ranking", "critical_difference", "find_cliques", "rank", "tabulate"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One detector over the ranked sets.

    Attributes:
        detector: Its name.
        auroc: Mean over sets and seeds.
        folders: The same over the sets of each folder.
        average_precision: Likewise.
        rank: Mean over sets of its rank by AUROC (itself a mean over seeds); 1 is best, and ties
            share their mean rank.
        wins: On how many sets no other detector has a higher AUROC.
        seed_std: Standard deviation over the seeds of the mean AUROC over the sets; ``None`` with
            one seed.
        median_fit: Seconds to fit, median over sets and seeds.
        worst_fit: Likewise, the maximum.
        median_score: Seconds to score all test rows, median.
        p_value: Of Wilcoxon's signed-rank test over the sets that it equals the first detector,
            after Holm's correction for all; ``None`` for the first, and with fewer than two sets.
    """

    detector: str
    auroc: float
    folders: dict[str, float]
    average_precision: float
    rank: float
    wins: int
    seed_std: float | None
    median_fit: float
    worst_fit: float
    median_score: float
    p_value: float | None


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The comparison, over the sets on which every ranked detector has a result.

    Attributes:
        lines: The detectors, by falling mean AUROC; empty if there is no such set.
        sets: The sets that count.
        incomplete: The other sets, with the detectors that have no result on some seed.
        failed: Detectors without any result, which are not ranked.
        friedman: p-value of Friedman's test that all are equal, or ``None`` with fewer than three
            detectors or two sets.
    """

    lines: list[Line]
    sets: list[str]
    incomplete: dict[str, list[str]]
    failed: list[str]
    friedman: float | None


def tabulate(
    rows: Sequence[Row], column: str, sets: Sequence[str], detectors: Sequence[str]
) -> Array:
    """One column of the rows as an array (sets, detectors, seeds), NaN where there is no value."""
    seeds = sorted({row["seed"] for row in rows})
    values = np.full((len(sets), len(detectors), len(seeds)), np.nan)
    for row in rows:
        if row["set"] in sets and row["detector"] in detectors and row[column] is not None:
            place = (
                sets.index(row["set"]),
                detectors.index(row["detector"]),
                seeds.index(row["seed"]),
            )
            values[place] = row[column]
    return values


def rank(rows: Sequence[Row]) -> Ranking:
    """Rank the detectors of these rows."""
    names = list(dict.fromkeys(row["detector"] for row in rows))
    detectors = list(dict.fromkeys(row["detector"] for row in rows if row["error"] is None))
    sets = list(dict.fromkeys(row["set"] for row in rows))
    auroc = tabulate(rows, "auroc", sets, detectors).mean(axis=2)
    incomplete = {
        name: [detectors[i] for i in np.flatnonzero(np.isnan(line))]
        for name, line in zip(sets, auroc, strict=True)
        if np.isnan(line).any()
    }
    complete = [name for name in sets if name not in incomplete]
    measured = auroc[[name in complete for name in sets]]
    testable = len(detectors) >= 3 and len(complete) >= 2
    return Ranking(
        lines=_lines(rows, complete, detectors) if complete and detectors else [],
        sets=complete,
        incomplete=incomplete,
        failed=[name for name in names if name not in detectors],
        friedman=float(friedmanchisquare(*measured.T).pvalue) if testable else None,
    )


def _lines(rows: Sequence[Row], sets: Sequence[str], detectors: Sequence[str]) -> list[Line]:
    auroc, precision, fit, score = (
        tabulate(rows, column, sets, detectors)
        for column in ("auroc", "average_precision", "fit_seconds", "score_seconds")
    )
    means = auroc.mean(axis=2).round(9)  # so that a sum's last bit breaks no tie
    home = {row["set"]: row["folder"] for row in rows}
    folders = {
        folder: [name for name in range(len(sets)) if home[sets[name]] == folder]
        for folder in dict.fromkeys(home[name] for name in sets)
    }
    p_values = _compare(means)
    ranks = rankdata(-means, axis=1).mean(axis=0)
    best = means == means.max(axis=1, keepdims=True)
    lines = [
        Line(
            detector=name,
            auroc=float(means[:, i].mean()),
            folders={name: float(means[own, i].mean()) for name, own in folders.items()},
            average_precision=float(precision[:, i].mean()),
            rank=float(ranks[i]),
            wins=int(best[:, i].sum()),
            seed_std=float(auroc[:, i].mean(axis=0).std()) if auroc.shape[2] > 1 else None,
            median_fit=float(np.median(fit[:, i])),
            worst_fit=float(fit[:, i].max()),
            median_score=float(np.median(score[:, i])),
            p_value=p_values[i],
        )
        for i, name in enumerate(detectors)
    ]
    return sorted(lines, key=lambda line: -line.auroc)


def _compare(means: Array) -> list[float | None]:
    """Holm's p-values of Wilcoxon's test of each detector against the first.

    Args:
        means: AUROC, (sets, detectors).
    """
    sets, detectors = means.shape
    if sets < 2 or detectors < 2:
        return [None] * detectors
    found = [
        float(wilcoxon(other, means[:, 0]).pvalue) if (other != means[:, 0]).any() else 1.0
        for other in means[:, 1:].T
    ]
    order = np.argsort(found)
    scaled = np.asarray(found)[order] * np.arange(len(found), 0, -1)
    corrected = np.empty(len(found))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return [None, *corrected.tolist()]


def critical_difference(detectors: int, sets: int, alpha: float = 0.05) -> float:
    """Nemenyi's: mean ranks that are less apart do not differ significantly (Demšar, section 3.2).

    Args:
        detectors: How many are compared.
        sets: How many they are compared on.
        alpha: Level of significance.
    """
    quantile = studentized_range.ppf(1 - alpha, detectors, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(detectors * (detectors + 1) / (6 * sets)))


def find_cliques(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """First and last index of each largest group of mean ranks, sorted, that do not differ."""
    ends = np.searchsorted(ranks, np.asarray(ranks) + difference) - 1
    return [
        (start, int(end))
        for start, end in enumerate(ends)
        if end > start and (start == 0 or end > ends[start - 1])
    ]
