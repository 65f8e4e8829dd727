import numpy as np
import pytest
from scipy.stats import wilcoxon

from compactflow.experiments.benchmark.ranking import critical_difference, find_cliques, rank


def made_up(scores):
    """Rows with AUROCs {detector: {set: [one per seed]}}."""
    return [
        {
            "set": name,
            "detector": detector,
            "folder": "here",
            "seed": seed,
            "auroc": value,
            "average_precision": value / 2,
            "fit_seconds": 1.0 + seed,
            "score_seconds": 0.5,
            "error": None,
        }
        for detector, sets in scores.items()
        for name, values in sets.items()
        for seed, value in enumerate(values)
    ]


def test_ranking_equals_hand_computation():
    ranking = rank(
        made_up(
            {
                "A": {"s": [0.8, 0.9], "t": [0.6, 0.6], "u": [0.7, 0.7]},
                "B": {"s": [0.7, 0.7], "t": [0.9, 0.9], "u": [0.7, 0.7]},
                "C": {"s": [0.5, 0.5], "t": [0.5, 0.5], "u": [0.6, 0.6]},
            }
        )
    )
    b, a, c = ranking.lines
    assert (a.detector, b.detector, c.detector) == ("A", "B", "C")
    assert a.auroc == pytest.approx((0.85 + 0.6 + 0.7) / 3)
    assert b.average_precision == pytest.approx((0.7 + 0.9 + 0.7) / 6)
    # On s: A B C; on t: B A C; on u A and B share rank 1.5.
    assert [a.rank, b.rank, c.rank] == pytest.approx([1.5, 1.5, 3])
    assert [a.wins, b.wins, c.wins] == [2, 2, 0]
    # The means over the sets are 2.1/3 and 2.2/3.
    assert a.seed_std == pytest.approx(0.1 / 3 / 2)
    assert (a.median_fit, a.worst_fit, a.median_score) == (1.5, 2.0, 0.5)
    # Friedman's statistic with ties: mean ranks 1.5, 1.5, 3 give 4.5, divided by 1 - 6/72.
    assert ranking.friedman == pytest.approx(np.exp(-4.5 / (1 - 6 / 72) / 2))


def test_p_values_are_wilcoxons_with_holms_correction():
    rng = np.random.default_rng(0)
    first = rng.uniform(size=12)
    others = {"B": first + 0.1, "C": first + rng.normal(size=12), "D": first + 0.2}
    scores = {"A": first, **others}
    rows = made_up(
        {name: {f"s{i}": [v] for i, v in enumerate(values)} for name, values in scores.items()}
    )
    found = {line.detector: line.p_value for line in rank(rows).lines}
    # All twelve differences have one sign in B and D: 2 / 2^12 exactly, the least two of three.
    assert found["A"] is None
    assert found["B"] == found["D"] == pytest.approx(3 * 2 / 2**12)
    assert found["C"] == pytest.approx(wilcoxon(others["C"], first).pvalue)


def test_seed_spread_needs_two_seeds():
    assert rank(made_up({"A": {"s": [0.5]}})).lines[0].seed_std is None


def test_sets_lacking_a_seed_do_not_count():
    rows = made_up({"A": {"s": [0.8, 0.9], "t": [0.7, 0.7]}, "B": {"s": [0.8, 0.8], "t": [0.9]}})
    ranking = rank(rows)
    assert ranking.sets == ["s"]
    assert ranking.incomplete == {"t": ["B"]}


@pytest.mark.parametrize(("count", "quantile"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_difference_has_the_published_quantiles(count, quantile):
    expected = quantile * np.sqrt(count * (count + 1) / (6 * 14))
    assert critical_difference(count, 14) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("ranks", "cliques"),
    [
        ([1, 2, 3, 4], []),
        ([1, 1.5, 2.2, 4], [(0, 1), (1, 2)]),
        ([1, 1.2, 1.4, 3], [(0, 2)]),
        ([1, 1.9, 1.95, 2.5], [(0, 2), (1, 3)]),
    ],
)
def test_cliques_are_the_largest_groups_closer_than_the_difference(ranks, cliques):
    assert find_cliques(ranks, 1.0) == cliques
