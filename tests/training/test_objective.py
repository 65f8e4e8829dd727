"""The loss of an ensemble is the mean of its flows' losses, whatever the push averages."""

import pytest
import torch

from compactflow.backbones.coupling import Coupling
from compactflow.flows.flow import CompactFlow
from compactflow.latents.cube import Cube
from compactflow.pulls.norms import MaxAbs
from compactflow.pushes.base import Push
from compactflow.pushes.mirror import Mirror
from compactflow.pushes.stein import Stein
from compactflow.randomness import seeded
from compactflow.training.monitors import energy_distance, latent_energy, monitor
from compactflow.training.objective import Objective
from compactflow.training.stack import Stack


class EnergyDistance(Push):
    """Compares the batch as a whole with samples of the latent: no mean over rows."""

    entropic = False

    def forward(self, backbone, pull, x, generator=None):
        z = backbone(x)
        reference = pull.latent.sample(len(x), generator)
        n = len(x)
        between = torch.cdist(z, reference).mean()
        return z, 2 * between - torch.cdist(z, z).sum() / (n * (n - 1))


class Calls(EnergyDistance):
    """Remembers what it was called with."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.seen = []

    def forward(self, backbone, pull, x, generator=None):
        self.calls += 1
        self.seen.append((backbone, x))
        return super().forward(backbone, pull, x, generator)


def make_stack(members=3, dim=2):
    torch.manual_seed(0)
    networks = [Coupling(dim, blocks=2, width=4).double() for _ in range(members)]
    with torch.no_grad():
        for network in networks:
            for parameter in network.parameters():
                parameter += 0.3 * torch.randn_like(parameter)
    return Stack(networks), networks


def test_a_push_that_is_no_mean_over_rows_sees_each_flow_alone():
    stack, networks = make_stack()
    pull, x = MaxAbs(Cube(2).double()), torch.randn(30, 2).double()
    found = Objective(pull, EnergyDistance(), 3)(stack, x, seeded(0))
    generator, terms = seeded(0), []
    for m, network in enumerate(networks):
        z, term = EnergyDistance()(network, pull, x[m::3], generator)
        terms.append(pull(z).mean() + term)
    torch.testing.assert_close(found, torch.stack(terms).mean())
    mixture = EnergyDistance()(stack, pull, x, seeded(0))[1]
    assert abs(float(found) - float(mixture)) > 0.01  # together they would look better or worse


def test_each_flow_has_a_push_of_its_own():
    stack, _ = make_stack()
    objective = Objective(MaxAbs(Cube(2).double()), Calls(), 3)
    for _ in range(5):
        objective(stack, torch.randn(12, 2).double(), seeded(0))
    assert [int(push.calls) for push in objective.pushes] == [5, 5, 5]
    for push in objective.pushes:
        assert {x.shape for _, x in push.seen} == {(4, 2)}
        assert all(isinstance(backbone, Coupling) for backbone, _ in push.seen)


@pytest.mark.parametrize("push", [Mirror(), Stein(), Stein(fraction=0.5)])
def test_a_rowwise_push_has_one_pass_for_all(push, monkeypatch):
    stack, _ = make_stack()
    monkeypatch.setattr(Stack, "singles", None)
    pull = MaxAbs(Cube(2).double())
    objective = Objective(pull, push, 3)
    pull.weight = 2.0
    x = torch.randn(12, 2).double()
    z, term = push(stack, pull, x, seeded(0))
    torch.testing.assert_close(objective(stack, x, seeded(0)), 2 * pull(z).mean() + term)
    assert len(objective.pushes) == 1


def test_monitors_judge_each_flow_by_itself():
    stack, _ = make_stack(2)
    flow = CompactFlow(stack, Cube(2).double())
    reference = torch.randn(200, 2).double()
    halves = reference[reference[:, 0] < 0], reference[reference[:, 0] >= 0]
    n = min(map(len, halves))
    z = torch.stack([half[:n] for half in halves], dim=1).flatten(0, 1)  # rows in turn
    each = [energy_distance(z[m::2], reference) for m in range(2)]
    assert energy_distance(z, reference) < 0.02
    assert latent_energy(flow, z, reference) == pytest.approx(sum(each) / 2)
    assert min(each) > 0.2
    x = torch.randn(40, 2).double()
    found = monitor(flow, x, reference, seeded(0))["energy_distance"]
    with torch.no_grad():
        alone = [energy_distance(stack(x)[m::2], reference) for m in range(2)]
    assert found == pytest.approx(sum(alone) / 2)


def test_conditioning_is_that_of_the_worst_flow():
    stack, networks = make_stack(2, 3)
    with torch.no_grad():
        networks[1].blocks[0].scale += torch.tensor([30.0, 0.0, 0.0])
    stack = Stack(networks)
    x = torch.randn(60, 3).double()
    found = monitor(CompactFlow(stack, Cube(3).double()), x, x, seeded(0))["conditioning"]
    alone = [
        monitor(CompactFlow(one, Cube(3).double()), x, x, seeded(0))["conditioning"]
        for one in networks
    ]
    assert alone[1] > 2 * alone[0]
    assert found == pytest.approx(alone[1], rel=0.3)
