from itertools import combinations

from compactflow.experiments.benchmark import front
from compactflow.experiments.benchmark.ranking import Line


def _line(name, seconds, auroc):
    return Line(
        detector=name,
        auroc=auroc,
        folders={},
        average_precision=0.5,
        rank=1,
        wins=0,
        seed_std=None,
        median_fit=seconds,
        worst_fit=1,
        median_score=1,
        p_value=None,
    )


def test_the_front_is_what_none_beats_at_its_cost():
    lines = [_line("cheap", 1, 0.6), _line("waste", 2, 0.5), _line("best", 3, 0.7)]
    colours = {text.get_text(): text.get_color() for text in front.draw(lines).axes[0].texts}
    assert colours == {"cheap": "tab:red", "waste": "0.35", "best": "tab:red"}


def test_no_two_names_touch():
    lines = [_line(f"neighbours {n}", 1 + 0.02 * n, 0.6 + 1e-4 * n) for n in range(4)]
    figure = front.draw([*lines, _line("beside", 1.3, 0.6), _line("far", 100, 0.9)])
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
