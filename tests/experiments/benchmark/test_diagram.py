import itertools

import pytest

from compactflow.experiments.benchmark.diagram import draw
from compactflow.experiments.benchmark.ranking import Line


@pytest.mark.parametrize("count", [3, 8, 25])
def test_diagram_names_every_detector_without_overlap(count):
    lines = [
        Line(
            detector=f"detector {i}",
            auroc=0.5,
            average_precision=0.5,
            rank=2 + i * (count - 3) / count,
            wins=0,
            seed_std=None,
            median_fit=1,
            worst_fit=1,
            median_score=1,
            folders={},
            p_value=None,
        )
        for i in range(count)
    ]
    figure = draw(lines, 25)
    figure.draw_without_rendering()
    page = figure.bbox
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 for box in boxes)
    assert all(box.y1 <= page.y1 for box in boxes)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    for line in lines:
        assert any(line.detector in text.get_text().split("  ") for text in figure.axes[0].texts)
