"""Scores of groups on one scale."""

import numpy as np
import torch

from compactflow.flows.contexts import Contexts, group_of


def test_groups_get_the_mean_and_spread_of_all_and_small_ones_are_drawn_there():
    torch.manual_seed(0)
    codes = torch.tensor([0.0] * 500 + [1.0] * 500 + [2.0] * 3)[:, None]
    scores = torch.cat([torch.randn(500), 4 + 3 * torch.randn(500), torch.full((3,), 20.0)])
    contexts = Contexts([3], members=2)
    contexts.see(codes)
    contexts.fit(1, codes, scores)
    even = contexts.level(scores, codes, 1)
    for group in (even[:500], even[500:1000]):
        assert abs(group.mean() - scores.mean()) < 0.3
        assert 0.8 < group.std() / scores.std() < 1.2
    assert even[1000:].mean() > scores.mean() + 3  # three rows say little of their group
    assert torch.equal(contexts.level(scores, codes, 0), scores)  # of which nothing is known
    new = torch.full((5, 1), -1.0)
    assert torch.equal(contexts.level(scores[:5], new, 1), scores[:5])


def test_a_group_is_one_of_all_categories_together():
    codes = torch.tensor([[0, 0.3, 1], [0, 9.0, 1], [1, 0.3, 1], [1, 0.3, -1]])
    groups = group_of(codes, [2, 0, 3])
    assert groups[0] == groups[1] != groups[2]
    assert groups[3] == -1
    assert (group_of(codes[:, 1:2], [0]) == -1).all()  # numbers make no groups


def drawn(groups, rows, seed):
    """Scores of groups of which every second has a long tail."""
    rng = np.random.default_rng(seed)
    tails = [rng.standard_exponential(rows) ** (2 if k % 2 else 0.5) for k in range(groups)]
    return [np.sort(tail) for tail in tails]


def test_held_out_rows_give_each_group_the_quantiles_of_all():
    contexts = Contexts([7], members=1).double()
    contexts.see(torch.arange(6.0)[:, None])
    known = drawn(6, 400, 0)
    everyone = np.sort(np.concatenate(known))
    contexts.match(known, everyone)
    end, middle = np.quantile(everyone, [0.95, 0.5])
    for k, new in enumerate(map(torch.from_numpy, drawn(6, 4000, 1))):
        brought = contexts.bring(new, torch.full((4000, 1), float(k)))
        assert (brought.diff() >= 0).all()  # nothing changes places in a group
        assert abs((brought > end).double().mean() - 0.05) < 0.02
        assert abs((brought > middle).double().mean() - 0.5) < 0.08
        assert abs((new > end).double().mean() - 0.05) > 0.03
    unseen = torch.full((400, 1), 6.0)
    assert torch.equal(contexts.bring(new[:400], unseen), new[:400])


def test_groups_that_differ_by_chance_only_are_hardly_moved():
    contexts = Contexts([40], members=1).double()
    contexts.see(torch.arange(40.0)[:, None])
    rng = np.random.default_rng(0)
    known = [np.sort(rng.normal(size=20)) for _ in range(40)]
    everyone = np.sort(np.concatenate(known))
    contexts.match(known, everyone)
    new = torch.linspace(-1, 2, 40).double()
    assert (contexts.bring(new, torch.arange(40.0)[:, None]) - new).abs().mean() < 0.1
    contexts.match(known[:1] + [known[0][:0]] * 39, known[0])  # of one group alone
    assert torch.equal(contexts.bring(new, torch.zeros(40, 1)), new)
