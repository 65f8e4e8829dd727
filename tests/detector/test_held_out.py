"""What the scores of held-out rows tell."""

from types import SimpleNamespace

import numpy as np
import torch

from compactflow.detector.held_out import Judged, match_groups
from compactflow.flows.contexts import Contexts


def test_outliers_among_the_rows_do_not_say_how_their_group_is_scored():
    codes = np.arange(600) % 3
    scores = np.random.default_rng(0).exponential(size=600) * (1 + codes)

    def matched(far, share):
        """The groups' quantiles, of which the first has 30 outliers."""
        contexts = Contexts([3], members=1).double()
        contexts.see(torch.from_numpy(codes[:, None]).double())
        wild = np.where((codes == 0) & (np.arange(600) < 90), far, scores)
        judged = Judged(np.arange(600), wild, None, held_out=True)
        ensemble = SimpleNamespace(
            contexts=contexts, natural=False, dim=1, bring=lambda scores, rows: scores
        )
        data = np.column_stack([np.zeros(600), codes])
        match_groups(ensemble, data, judged, boundary=0.95, outlier_share=share)
        return contexts.own

    assert len(matched(1e3, 0.05)) == 3
    assert torch.equal(matched(1e3, 0.05), matched(1e6, 0.05))
    assert not torch.equal(matched(1e3, 0.0), matched(1e6, 0.0))
