import pytest
import torch

from compactflow.limits import allocation_limit


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(10**12),
        lambda: torch.randn(10**6, 10**6),
        lambda: torch.zeros(10**7).exp(),
        lambda: [torch.randn(3, 3) for _ in range(10**6)],
    ],
)
def test_what_goes_beyond_is_stopped(allocate):
    with pytest.raises(MemoryError), allocation_limit(1000):
        allocate()


def test_what_stays_below_is_as_without():
    with allocation_limit(1000):
        torch.manual_seed(0)
        inside = torch.nn.Linear(20, 50).weight
    torch.manual_seed(0)
    assert torch.equal(inside, torch.nn.Linear(20, 50).weight)
    torch.zeros(2 * 10**6)
