import pytest
import torch

from compactflow.persistence.allocation import allocation_limit


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


BEYOND = {
    "eye": lambda: torch.eye(10**6),
    "arange": lambda: torch.arange(10**10),
    "kept": lambda: [torch.zeros(10**6) for _ in range(10)],
    "many": lambda: [torch.zeros(0) for _ in range(10**5)],
    "for ever": lambda: all(torch.ones(10**6).sum() for _ in iter(int, 1)),
}


@pytest.mark.parametrize("name", BEYOND)
def test_more_than_a_few_times_the_numbers_is_stopped(name):
    with pytest.raises(MemoryError, match="asks for more"), allocation_limit(10**5):
        BEYOND[name]()


def test_temporaries_may_be_many_if_few_at_a_time():
    with allocation_limit(10**6):
        kept = [torch.zeros(10**5) for _ in range(20)]
        for _ in range(30):
            torch.ones(10**6).sum()
        parts = [part for tensor in kept for part in tensor.split(100)]
    assert len(parts) == 20_000
