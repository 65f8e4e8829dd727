"""From chosen components to what they make: networks, a latent, the ensemble and its push."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence, Sized

import torch
from torch import Tensor

from compactflow.backbones.base import Backbone
from compactflow.flows.components import Part, find_class, make
from compactflow.flows.contracts import check_constraints, check_support
from compactflow.flows.ensemble import Ensemble
from compactflow.flows.reach import draw_in
from compactflow.flows.scores import Support
from compactflow.latents.base import Latent
from compactflow.plugins import Kind
from compactflow.preprocessing.base import Preprocessing
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push

__all__ = [
    "adapt",
    "compose",
    "make_latent",
    "make_layers",
    "make_networks",
    "make_probe",
    "make_push",
]

_MEMBERS = 4  # beyond which more gain little


def make_networks(
    parts: Mapping[Kind, Part], dim: int, members: int | str, categories: Sequence[int] = ()
) -> list[Backbone]:
    """Make the backbones of an ensemble; one given as an instance is copied.

    A backbone that takes no context is none the worse: what the encoder and the calibration do
    with the context remains.

    Args:
        parts: The components.
        dim: The number of features D.
        members: The number of flows, or ``"auto"``: 4 for a parallel backbone given by name or
            class, else 1.
        categories: For each column of the context how many categories it has, or 0 for a number.

    Raises:
        ValueError: If the backbone is unknown, none or refuses its options; or if several are to
            be made of one instance.
    """
    features = sum(max(count, 1) for count in categories)

    def network() -> Backbone:
        made: Backbone = make("backbone", parts, dim, context=features)
        made.categories = tuple(categories)
        return made

    first = network()
    if first.context not in (0, features):
        raise ValueError(
            f"the backbone takes a context of {first.context} features, and the columns that "
            f"context= names make {features}"
        )
    given = isinstance(parts["backbone"].choice, Backbone)
    if members == "auto":
        members = 1 if given or not first.parallel else _MEMBERS
    elif given and members != 1:
        raise ValueError(
            f"members must be 1 for a backbone given as an instance, got {members}, as its copies "
            "would all start equal; give the backbone by name or class"
        )
    return [first, *(network() for _ in range(int(members) - 1))]


def make_layers(parts: Mapping[Kind, Part], dim: int, members: int) -> list[Preprocessing]:
    """Make the first layers of an ensemble; one given as an instance is copied.

    Raises:
        ValueError: As for `compose`, or if one has parameters, which would never train.
    """
    layers: list[Preprocessing] = [make("preprocessing", parts, dim) for _ in range(members)]
    if any(parameter.requires_grad for parameter in layers[0].parameters()):
        raise ValueError(
            "the first layer has parameters with requires_grad, which would never train: it is "
            "fixed; register them as buffers"
        )
    return layers


def make_latent(parts: Mapping[Kind, Part], dim: int) -> Latent:
    """Make the latent; one given as an instance is copied.

    Raises:
        ValueError: As for `compose`, or if its constraints have another shape than ``(N, M)``.
    """
    latent: Latent = make("latent", parts, dim)
    check_constraints(latent)
    return latent


def adapt(
    parts: Mapping[Kind, Part], latent: Latent, layer: Preprocessing, x: Tensor, rows: Tensor
) -> Tensor | None:
    """Fit a latent to inliers: see `Latent.adapt`.

    Args:
        parts: The components.
        latent: The latent, on the device of x.
        layer: The first layer, likewise.
        x: Inliers, ``(N, D)``, in data units.
        rows: Indices of those that the latent may see.

    Returns:
        Anchors, ``(N, D)``, with zeros for what it may not see; or ``None``.

    Raises:
        ValueError: If a saved model would not have what the latent has learned.
    """
    if type(latent).adapt is Latent.adapt:
        return None
    y = draw_in(layer(x[rows])).to(latent.like)
    anchors = latent.adapt(y)
    fresh = make_latent(parts, latent.dim).to(y)
    fresh.load_state_dict(latent.state_dict())
    if not torch.equal(fresh.constraints(y), latent.constraints(y)):
        raise ValueError(
            f"{type(latent).__name__}.adapt sets what a saved model would not have: register it "
            "as buffers, by register_buffer in __init__"
        )
    return None if anchors is None else torch.zeros_like(x).to(y).index_copy_(0, rows, anchors)


def compose(
    parts: Mapping[Kind, Part],
    networks: Sequence[Backbone],
    layers: Sequence[Preprocessing],
    latent: Latent,
) -> tuple[Ensemble, Push]:
    """Make an ensemble of flows around its backbones, and the push to train it.

    Components given as instances are copied, so that a fit leaves them as they were.

    Args:
        parts: The components.
        networks: The backbones.
        layers: The flows' first layers.
        latent: The flows' latent, which has seen the data if it fits itself to them.

    Raises:
        ValueError: If a component is unknown, not of its kind, or refuses its options.
    """
    pull = make("pull", parts, latent)
    pull.latent = latent  # the flows' own, if the pull was given as an instance
    # An ensemble scores by the support without a module for each flow.
    own = find_class("score", parts["score"].choice) is not Support
    scores = [make("score", parts, latent.dim) for _ in networks] if own else []
    push = make_push(parts, latent.dim)
    return Ensemble(networks, layers, pull, scores, entropic=push.entropic), push


def make_push(parts: Mapping[Kind, Part], dim: int) -> Push:
    """Make the push; one given as an instance is copied.

    A class whose constructor takes an argument ``dim`` gets the number of features D by it, unless
    an option gives it.

    Raises:
        ValueError: As for `compose`.
    """
    part = parts["push"]
    chosen = find_class("push", part.choice)
    if isinstance(chosen, type) and "dim" in inspect.signature(chosen).parameters:
        part = Part(choice=part.choice, options={"dim": dim, **part.options})
    push: Push = make("push", {"push": part})
    return push


def make_probe(parts: Mapping[Kind, Part]) -> tuple[Pull, Push]:
    """The pull and push, for a latent of few features unless it has its own number.

    Raises:
        ValueError: If a component is unknown, not of its kind, or refuses its options.
    """
    for kind in ("backbone", "preprocessing", "score"):
        find_class(kind, parts[kind].choice)
    latent = _probe_latent(parts)
    pull: Pull = make("pull", parts, latent)
    check_support(pull)
    return pull, make_push(parts, latent.dim)


def _probe_latent(parts: Mapping[Kind, Part]) -> Latent:
    """The latent in some dimension that it takes: its own, that of an option, or a few others."""
    own = getattr(parts["latent"].choice, "dim", None)
    if isinstance(own, int):
        return make_latent(parts, own)
    options = [value for value in parts["latent"].options.values() if isinstance(value, Sized)]
    lists = [value for value in options if isinstance(value, list | tuple)]
    sums = [sum(item for item in value if type(item) is int) for value in lists]
    dims = [2, *map(len, options), *filter(None, sums), 3, 4, 8, 16, 64]
    failure: ValueError | None = None
    for dim in dims:
        try:
            return make_latent(parts, dim)
        except ValueError as error:
            failure = failure or error
    assert failure is not None
    raise failure
