"""From older layouts of a model file to the present one, one version at a time.

A migration is frozen: it asks no class of today for anything, as that may change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from compactflow.plugins import Kind

__all__ = ["MIGRATIONS", "VERSION"]

VERSION = 8  # of the layout that `compactflow.persistence.model` writes

Content = dict[str, Any]

# What was the default when version 1 was written, and is not in its files.
_DEFAULTS_1: dict[str, Content] = {
    "coupling": {
        "transform": "affine",
        "blocks": 12,
        "width": 128,
        "clamp": 2.0,
        "bins": 8,
        "bound": 3.0,
        "permutation": "aligned",
        "horizon": 1.0,
    },
    "barrier": {"sharpness": 10.0},
}
_PRESETS_1: dict[str | None, Any] = {
    None: {"push": "stein", "pull": None, "coupling": {"blocks": 8, "width": 64}},
    "paper": {
        "push": "mirror",
        "pull": "max-abs",
        "coupling": {"permutation": "soft", "horizon": None},
    },
}
# The pulls of the latents: for a push that compares with samples, and for one that is entropic.
_PULLS_1 = {
    "cube": ("max-abs", "barrier"),
    "ball": ("euclidean", "barrier"),
    "gaussian": ("squared", "squared"),
    "shell": ("barrier", "barrier"),
    "union": ("barrier", "barrier"),
}
_OTHER_PULLS_1 = ("gauge", "barrier")
# The first layers before they were components.
_LAYERS_5: dict[str | None, str] = {None: "half-whiten", "paper": "standardise"}
_COMPARING_1 = ("mirror",)  # the pushes that were not entropic


def _from_1(content: Content) -> Content:
    """Write out the components and their options, which version 1 left to the defaults."""
    old, tensors = content["description"], content["tensors"]
    # The first files did not have the calibration scores.
    scores = tensors.pop("calibration.scores", torch.zeros(0, dtype=torch.float64))
    params = old["params"]
    preset = _PRESETS_1[params["preset"]]
    names: dict[Kind, str] = {kind: params[kind] for kind in ("backbone", "latent")}
    names["push"] = params["push"] or preset["push"]
    pull = params["pull"] or preset["pull"]
    if pull is None:
        pulls = _PULLS_1.get(names["latent"], _OTHER_PULLS_1)
        pull = pulls[names["push"] not in _COMPARING_1]
    names["pull"] = pull
    options = {
        kind: _DEFAULTS_1.get(name, {}) | preset.get(name, {}) | (params[f"{kind}_options"] or {})
        for kind, name in names.items()
    }
    return {
        "versions": {},
        "components": {
            kind: {
                "name": name,
                "distribution": "",
                "version": "",
                "target": "",
                "options": options[kind],
            }
            for kind, name in names.items()
        },
        "params": params,
        "feature_names": old["feature_names_in"],
        "weights": tensors,
        "pull": {name: tensors[name] for name in tensors if name.startswith("latent.")},
        "pull_weight": old["pull_weight"],
        "offset": old["offset"],
        "calibration": {"scores": scores, "held_out": old.get("held_out", False)},
        "history": {
            # NaN was null.
            name: [float("nan") if value is None else value for value in values]
            for name, values in old["history"].items()
        },
    }


def _from_2(content: Content) -> Content:
    """Say that there is a single flow, as there always was in version 2."""
    return content | {"params": content["params"] | {"members": 1}, "further_members": []}


def _from_3(content: Content) -> Content:
    """Write out the coupling's activation, which was no option in version 3."""
    components = content["components"]
    backbone = components["backbone"]
    if backbone["name"] == "coupling":
        backbone = backbone | {"options": {"activation": "relu"} | backbone["options"]}
    return content | {"components": components | {"backbone": backbone}}


def _from_4(content: Content) -> Content:
    """Give each flow the first layer and the latent that all shared in version 4."""
    first = content["weights"]
    shared = {name: value for name, value in first.items() if not name.startswith("backbone.")}
    others = [
        shared | {f"backbone.{name}": value for name, value in backbone.items()}
        for backbone in content["further_members"]
    ]
    kept = content.keys() - {"weights", "further_members"}
    return {name: content[name] for name in kept} | {"flows": [first, *others]}


def _from_5(content: Content) -> Content:
    """Keep the latent once, and write out the first layer and the score, of which there was one.

    Version 5 had a copy of the latent for each flow.
    """
    flows = content["flows"]
    rooms = {"backbone": "networks", "preprocessing": "layers"}
    weights = {f"pull.{name}": value for name, value in content["pull"].items()}
    for m, flow in enumerate(flows):
        for name, value in flow.items():
            part, _, rest = name.partition(".")
            if part != "latent":
                weights[f"{rooms.get(part, part)}.{m}.{rest}"] = value
    kept = content.keys() - {"flows", "pull"}
    params = content["params"]
    layer = params["preprocessing"] or _LAYERS_5[params["preset"]]
    origin: Content = {"distribution": "", "version": "", "target": "", "options": {}}
    return {name: content[name] for name in kept} | {
        "components": content["components"]
        | {"preprocessing": {"name": layer} | origin, "score": {"name": "support"} | origin},
        "params": params | {"preprocessing_options": None, "score_by": "support"},
        "dim": len(flows[0]["preprocessing.mean"]),
        "members": len(flows),
        "weights": weights,
    }


def _from_6(content: Content) -> Content:
    """Keep reference rows as part of a flow's score; in version 6 they stood beside the scores.

    There was one term, the mean distance to the nearest, and no outliers towards which to lean.
    """
    weights: Content = {}
    for name, value in content["weights"].items():
        part, _, rest = name.partition(".")
        m, _, buffer = rest.partition(".")
        weights[f"scores.{m}.known.{buffer}" if part == "neighbours" else name] = value
    for name, rows in list(weights.items()):
        known, found, _ = name.rpartition("rows")
        if found and known.endswith("known."):
            none = torch.zeros(())
            weights |= {known + "start": none, known + "strength": none}
            weights[known + "direction"] = torch.zeros(2 * rows.shape[1])
            weights[known + "spacing"] = torch.zeros(0)
            # The first files of version 6 did not say how many count.
            weights.setdefault(known + "nearest", torch.tensor(5))
            for one in ("nearest", "centre", "unit"):
                weights[known + one] = weights[known + one].reshape(1)
    return content | {"weights": weights}


def _from_7(content: Content) -> Content:
    """Write out what was not yet there to choose.

    The networks of two bridges, alone or in a chain, saw rows as they are, groups of a context
    were not matched, and no column counted by itself in the score by neighbours.
    """

    def complete(part: Content) -> Content:
        options = part["options"]
        if part["name"] in ("zuko:MAF", "normflows:MAF"):
            options = {"horizon": None} | options
        if part["name"] == "chain":
            options = options | {"links": [complete(link) for link in options["links"]]}
        return part | {"options": options}

    components, weights = content["components"], dict(content["weights"])
    if "contexts.seen" in weights:
        weights |= {"contexts.common": torch.zeros(0), "contexts.own": torch.zeros(0, 0)}
    for name, value in content["weights"].items():
        score, found, _ = name.rpartition("known.direction")
        if found:
            weights |= _no_columns(score, dim=len(value) // 2)
    components = components | {"backbone": complete(components["backbone"])}
    return content | {"components": components, "weights": weights}


def _no_columns(score: str, *, dim: int) -> Content:
    """The weights of columns that have no share in a score, by its name."""
    columns = {
        "nearest": torch.ones(2, dtype=torch.int64),
        "rows": torch.zeros(1, dim),
        "centre": torch.zeros(dim),
        "unit": torch.ones(dim),
        "usual": torch.ones(2, dim),
        "middle": torch.zeros(2),
        "outer": torch.ones(2),
    }
    named = {f"{score}columns.{name}": value for name, value in columns.items()}
    return {score + "share": torch.zeros(())} | named


MIGRATIONS: dict[int, Callable[[Content], Content]] = {
    1: _from_1,
    2: _from_2,
    3: _from_3,
    4: _from_4,
    5: _from_5,
    6: _from_6,
    7: _from_7,
}
