"""Scores of groups on one scale."""

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
