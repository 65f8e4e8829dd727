"""Backbones given a context, and the kit's checks of them."""

import pytest
import torch

from compactflow.backbones.base import Backbone
from compactflow.backbones.conditional import Given, bind, part
from compactflow.backbones.coupling import Coupling
from compactflow.testing.kit import _cases


def context_checks(component, options=None):
    """The results of the kit's checks of contexts, by name."""
    runs = _cases("backbone", component, options, None)
    wanted = [run for run in runs if run.args[0].startswith("context")]
    return {result.name: result for result in (run() for run in wanted)}


class Shift(Backbone):
    """Adds to each row what its context is worth."""

    def __init__(self, dim, *, context=0):
        super().__init__(dim, context)
        self.worth = torch.nn.Parameter(torch.zeros(dim, context))
        self.scale = torch.nn.Parameter(torch.zeros(dim))

    def forward(self, x, *, context=None):
        return (x + self._shift(x, context)) * self.scale.exp()

    def inverse(self, z, *, start=None, context=None):
        x = z / self.scale.exp()
        return x - self._shift(x, context)

    def _shift(self, x, context):
        return 0 if context is None else context @ self.worth.T


class Deaf(Shift):
    def _shift(self, x, context):
        return 0 * self.worth.sum()


class Mixing(Shift):
    def _shift(self, x, context):
        return 0 if context is None else context.mean(dim=0) @ self.worth.T


class OneWay(Shift):
    def inverse(self, z, *, start=None, context=None):
        return z / self.scale.exp()


class Nameless(Shift):
    def __init__(self, dim, *, context=0):
        super().__init__(dim, context=context)
        self.context = 0


def test_a_backbone_of_few_lines_takes_a_context():
    assert {result.status for result in context_checks(Shift).values()} == {"passed"}


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (Deaf, "context-counts"),
        (Mixing, "context-of-other-rows"),
        (OneWay, "context-round-trip"),
        (Nameless, "context-counts"),
    ],
)
def test_the_kit_finds_what_is_wrong_with_a_context(wrong, check):
    assert context_checks(wrong)[check].status == "failed"


def test_a_backbone_without_a_context_is_not_asked_for_one():
    results = context_checks("iresnet").values()
    assert {result.status for result in results} == {"skipped"}


def test_rows_bring_their_context_as_codes():
    backbone, x = Coupling(2, blocks=2, context=4), torch.randn(5, 2)
    torch.nn.init.normal_(backbone.blocks[0].subnet[2].weight)
    backbone.categories = (3, 0)
    codes = torch.tensor([[0, 0.5], [2, 0.5], [-1, 0.5], [2, -1], [0, 0.5]])
    given, features = bind(backbone, torch.cat([x, codes], dim=1))
    assert torch.equal(features, x)
    assert given.context_of_rows[:, :3].tolist()[:3] == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    one, other = part(given, 2)
    assert torch.allclose(torch.cat([one(x[:2]), other(x[2:])]), given(x))
    assert not torch.allclose(
        Given(backbone, given.context_of_rows.flip(0))(x[1:2].expand(5, 2))[0],
        given(x[1:2].expand(5, 2))[1],
    )


def test_options_cannot_set_the_width_of_a_context():
    from compactflow import build

    with pytest.raises(ValueError, match="backbone_options cannot have context"):
        build(backbone_options={"context": 2}).fit(torch.randn(40, 2).numpy())
