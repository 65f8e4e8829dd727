"""What the kit's checks of a distribution take for chance."""

import pytest
import torch

from compactflow.testing.checks.distribution import require_law


def two_clusters(unlucky):
    """Samples of two clusters of one weight, too many of the first ones of the second."""
    torch.manual_seed(0)
    second = torch.rand(20_000, 1) < 0.5
    second[:unlucky] = torch.rand(unlucky, 1) < 0.57
    return torch.where(second, 10.0, -10.0) + torch.randn(20_000, 1)


def log_density(z):
    return torch.logaddexp(-(z - 10).square() / 2, -(z + 10).square() / 2).squeeze(1)


def test_one_unlucky_draw_of_clusters_is_no_fault():
    require_law(two_clusters(unlucky=3000), log_density, "samples")


def test_clusters_of_wrong_weights_are_a_fault():
    with pytest.raises(Exception, match="relative energy distance"):
        require_law(two_clusters(unlucky=6000), log_density, "samples")
