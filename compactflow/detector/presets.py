"""Named sets of settings: the default, a faster one, one for a natural boundary, the paper's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, final

from compactflow.detector.calibration import Boundary
from compactflow.training.optimisation import OptimizerChoice, ScheduleChoice

__all__ = ["PRESETS", "Preset"]


@final
@dataclass(frozen=True, kw_only=True)
class Preset:
    """What every argument of `OneClassFlow` means that is left at ``None``.

    An attribute that is not named here is the argument of that name.

    Attributes:
        learning_rates: Learning rates other than `learning_rate`, per backbone name.
        backbone_options: Options per backbone name.
        push_options: Options per push name.

    Examples:
        >>> PRESETS["paper"].push, PRESETS["paper"].backbone_options["coupling"]["blocks"]
        ('mirror', 12)
    """

    latent: str = "cube"
    push: str
    pull: str | None
    preprocessing: str | tuple[str, ...]
    noise: float | Literal["auto"]
    members: int | Literal["auto"]
    max_steps: int | Literal["auto"]
    batch_size: int
    learning_rate: float
    score_by: str
    boundary: Boundary
    optimizer: OptimizerChoice = "adam"
    schedule: ScheduleChoice = "one-cycle"
    clip: float = 1.0
    patience: int = 10
    learning_rates: dict[str, float] = field(default_factory=dict)
    backbone_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    push_options: dict[str, dict[str, Any]] = field(default_factory=dict)


_NETWORK = {"blocks": 8, "width": 64, "clamp": 1.0}
_SMALL = _NETWORK | {"blocks": 4}

_DEFAULT = Preset(
    push="stein",
    pull=None,
    preprocessing="marginal",
    noise="auto",
    members="auto",
    max_steps="auto",
    batch_size=128,
    learning_rate=3e-3,
    score_by="neighbours",
    boundary=0.95,
    learning_rates={"coupling": 4e-2},
    backbone_options={"coupling": _NETWORK},
    # Coarser than the class's default, which is for sharp walls: less noise in the gradient.
    push_options={"stein": {"sigma": 0.3}},
)

PRESETS = {
    None: _DEFAULT,
    "fast": replace(_DEFAULT, backbone_options={"coupling": _SMALL}),
    # A ball ranks rows better than the cube scaled to hold as many, above all in many dimensions.
    "natural": replace(
        _DEFAULT, latent="gaussian", score_by="support", boundary="natural", members=8
    ),
    # Schmier, Köthe, Straehle (2024). The paper gives the network, the latent, the pull and the
    # step. The rows start inside the cube, as the mirror push draws in what is outside but does
    # not fill the cube from there. All steps are taken, as distances between latents rise while
    # more held-out inliers come inside.
    "paper": Preset(
        push="mirror",
        pull="max-abs",
        preprocessing=("whiten", "enclose"),
        noise="auto",
        members=1,
        max_steps="auto",
        batch_size=256,
        learning_rate=3e-3,
        score_by="support",
        boundary="bare",
        patience=20,
        backbone_options={
            "coupling": {
                "blocks": 12,
                "width": 128,
                "activation": "relu",
                "clamp": 2.0,
                "permutation": "soft",
                "horizon": None,
            }
        },
    ),
}
