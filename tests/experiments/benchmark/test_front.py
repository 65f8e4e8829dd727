from compactflow.experiments.benchmark import front
from compactflow.experiments.benchmark.ranking import Line


def test_the_front_is_what_none_beats_at_its_cost():
    names = {"cheap": (1, 0.6), "waste": (2, 0.5), "best": (3, 0.7)}
    lines = [
        Line(
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
        for name, (seconds, auroc) in names.items()
    ]
    colours = {text.get_text(): text.get_color() for text in front.draw(lines).axes[0].texts}
    assert colours == {"cheap": "tab:red", "waste": "0.35", "best": "tab:red"}
