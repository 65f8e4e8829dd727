"""Which rows train which network."""

import numpy as np
import pytest
import torch

from compactflow.training.holdout import HoldOut


def by_network(rows):
    return [set(own.tolist()) for own in rows.T]


@pytest.mark.parametrize("fraction", [0.1, 0.125, 0.5, 0.9])
@pytest.mark.parametrize(("rows", "members"), [(50, 1), (63, 8), (1000, 3)])
def test_a_network_is_judged_by_the_rows_it_does_not_train_on(rows, members, fraction):
    hold_out = HoldOut.of(rows, members, fraction)
    assert hold_out.left_out == int(fraction * rows)
    trained = by_network(hold_out.training_rows())
    judging = by_network(hold_out.judging_rows())
    drawn = by_network(hold_out.draw(50 * rows, torch.Generator().manual_seed(0)))
    for own, held, seen in zip(trained, judging, drawn, strict=True):
        assert len(held) == hold_out.left_out
        assert own == set(range(rows)) - held
        assert seen == own
    assert hold_out.trained().tolist() == sorted(set().union(*trained))


@pytest.mark.parametrize(("members", "judging"), [(4, 200), (8, 400), (20, 1000)])
def test_all_rows_train_an_ensemble_and_many_judge_a_pair(members, judging):
    hold_out = HoldOut.of(1000, members, 0.1)
    assert len(hold_out.trained()) == 1000
    assert len(hold_out.judging_rows().unique()) == judging


def test_larger_fractions_leave_each_row_out_of_as_many_networks():
    counts = np.bincount(HoldOut.of(800, 8, 0.5).judging_rows().flatten())
    assert (counts == 4).all()


def test_two_networks_in_a_row_leave_out_the_same_rows():
    judging = HoldOut.of(100, 5, 0.1).judging_rows()
    assert torch.equal(judging[:, 0::2][:, :2], judging[:, 1::2])
    assert len(judging.unique()) == 30


@pytest.mark.parametrize(
    ("rows", "members", "left_out"), [(1000, 4, 100), (100, 4, 20), (60, 4, 15), (60, 1, 15)]
)
def test_of_few_rows_more_are_left_out(rows, members, left_out):
    assert HoldOut.of(rows, members, "auto").left_out == left_out


def test_a_single_network_leaves_out_the_first_rows():
    hold_out = HoldOut.of(50, 1, 0.1)
    assert hold_out.judging_rows().flatten().tolist() == [0, 1, 2, 3, 4]
    assert hold_out.trained().tolist() == list(range(5, 50))


@pytest.mark.parametrize(
    ("rows", "members", "fraction"), [(49, 1, 0.1), (19, 8, 0.1), (4, 8, 0.5)]
)
def test_with_too_few_rows_all_train_and_judge(rows, members, fraction):
    hold_out = HoldOut.of(rows, members, fraction)
    everything = [set(range(rows))] * members
    assert by_network(hold_out.training_rows()) == everything
    assert by_network(hold_out.judging_rows()) == everything
