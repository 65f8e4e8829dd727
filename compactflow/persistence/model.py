"""A fitted detector as plain values and one module, on disk: weights and JSON.

The file, or folder, is that of `compactflow.persistence.archive`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from compactflow._version import __version__
from compactflow.devices import fresh_defaults
from compactflow.flows.assembly import compose, make_latent, make_layers, make_networks
from compactflow.flows.components import Part
from compactflow.flows.ensemble import Ensemble
from compactflow.persistence import archive
from compactflow.persistence.allocation import allocation_limit
from compactflow.persistence.archive import ArchiveError
from compactflow.persistence.components import changes, find_classes, versions
from compactflow.persistence.layout import check_layout
from compactflow.persistence.migrations import MIGRATIONS, VERSION
from compactflow.plugins import Kind
from compactflow.randomness import drawing_from, seeded
from compactflow.text import message_of

__all__ = ["Model", "read", "write"]


@final
@dataclass(frozen=True, kw_only=True)
class Model:
    """A fitted detector, in no particular class.

    Attributes:
        params: Its arguments.
        components: Name, origin and options of each component: see
            `compactflow.persistence.components.describe_parts`.
        ensemble: The fitted flows.
        feature_names: The features' names, or none.
        scores: Signed distances of the inliers that calibrate it, ``(M,)``.
        held_out: Whether training did not see these.
        history: What training recorded.
        ranges: The least and the largest value of each column in training, ``(D,)`` each;
            ``None`` where an older version did not keep them.
        encoder: What makes numbers of the columns: see
            `compactflow.encoding.plain.to_plain`; ``None`` if they are numbers.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from compactflow import OneClassFlow
        >>> X = np.random.default_rng(0).normal(size=(60, 2))
        >>> detector = OneClassFlow(max_steps=1, members=1, random_state=0).fit(X)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     detector.save(f"{folder}/pump.model")
        ...     model = read(f"{folder}/pump.model")
        >>> model.components["backbone"]["name"], model.ensemble.dim
        ('coupling', 2)
    """

    params: Mapping[str, Any]
    components: Mapping[Kind, Mapping[str, Any]]
    ensemble: Ensemble
    feature_names: list[str]
    scores: Tensor
    held_out: bool
    history: Mapping[str, list[float]]
    ranges: tuple[Tensor, Tensor] | None
    encoder: Mapping[str, Any] | None


def write(path: str | os.PathLike[str], model: Model, *, folder: bool = False) -> None:
    """Write a model to one file or to a folder, atomically.

    Args:
        path: The file or folder to make or replace.
        model: What to write.
        folder: Whether to write a folder: ``model.json``, to read, beside a safetensors file of
            weights.

    Raises:
        ValueError: If a weight is not finite.
        TypeError: If an argument or option is nothing that a file can hold.
        FileNotFoundError: If the folder does not exist.
    """
    ensemble = model.ensemble
    with fresh_defaults():
        _check_finite(ensemble)
    calibration: dict[str, Any] = {"scores": model.scores, "held_out": model.held_out}
    if model.ranges is not None:
        calibration |= dict(zip(("low", "high"), model.ranges, strict=True))
    content = {
        "versions": versions(),
        "components": model.components,
        "params": model.params,
        "dim": ensemble.dim,
        "members": len(ensemble.networks),
        "feature_names": model.feature_names,
        "weights": {name: _compact(weight) for name, weight in ensemble.state_dict().items()},
        "pull_weight": ensemble.pull.weight,
        "offset": -ensemble.level,
        "scale": ensemble.scale,
        "calibration": calibration,
        "history": model.history,
    }
    if model.encoder is not None:
        content["encoder"] = model.encoder
    if ensemble.contexts is not None:
        content["categories"] = list(ensemble.contexts.categories)
    archive.write(path, "model", VERSION, content, folder=folder)


def _compact(weight: Tensor) -> Tensor:
    """A weight in single precision if it is no less exact so, as all that training sets is."""
    single = weight.float()
    same = weight.dtype == torch.float64 and torch.equal(single.double(), weight)
    return single if same else weight


def read(path: str | os.PathLike[str]) -> Model:
    """Read a model file or folder, of this format or an older one; its ensemble is on the CPU.

    Nothing in the file is executed, and components are looked up in the registry only: a file
    cannot make other modules load.

    Raises:
        FileNotFoundError: If there is no such file.
        ArchiveError: If the file is not a model, is damaged or of a newer format, or if a
            component is not installed: the message has the line that installs it.
    """
    content = _read(path)
    try:
        classes = find_classes(content["components"])
    except Exception as error:
        raise ArchiveError(f"{os.fspath(path)!r} cannot be loaded: {message_of(error)}") from error
    try:
        with fresh_defaults():
            return _restore(content, classes)
    except (Exception, SystemExit) as error:  # a component can fail in any way
        note = changes(content["versions"], content["components"])
        raise ArchiveError(
            f"{os.fspath(path)!r} does not describe a model: {message_of(error)}{note}"
        ) from error


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A model file's content in the present layout, its entries of the right types."""
    version, content = archive.read(path, "model")
    if version > VERSION:
        raise ArchiveError(
            f"{os.fspath(path)!r} has format {version}, but this compactflow "
            f"{__version__} reads formats up to {VERSION}; upgrade it"
        )
    try:
        for old in range(version, VERSION):
            content = MIGRATIONS[old](content)
        check_layout(content)
    except Exception as error:  # a hostile file can have anything anywhere
        raise ArchiveError(
            f"{os.fspath(path)!r} does not describe a model: {message_of(error)}"
        ) from error
    return content


def _restore(content: Mapping[str, Any], classes: Mapping[Kind, Any]) -> Model:
    scores, encoder = content["calibration"]["scores"], content.get("encoder")
    if scores.ndim != 1 or scores.dtype != torch.float64 or not scores.isfinite().all():
        raise ValueError("its calibration scores are not finite numbers")
    return Model(
        params=content["params"],
        components=content["components"],
        ensemble=_restore_ensemble(content, classes),
        feature_names=content["feature_names"],
        scores=scores,
        held_out=content["calibration"]["held_out"] is True,
        history=content["history"],
        ranges=_ranges(content["calibration"], content["dim"] if encoder is None else None),
        encoder=encoder,
    )


def _ranges(calibration: Mapping[str, Any], dim: int | None) -> tuple[Tensor, Tensor] | None:
    """The ranges of the training columns, which older files do not have."""
    if "low" not in calibration:
        return None
    low, high = calibration["low"], calibration["high"]
    dim = len(low) if dim is None else dim
    for bound in (low, high):
        if bound.shape != (dim,) or bound.dtype != torch.float64 or not bound.isfinite().all():
            raise ValueError(f"the ranges of its columns are not {dim} finite numbers")
    return low, high


def _restore_ensemble(content: Mapping[str, Any], classes: Mapping[Kind, Any]) -> Ensemble:
    parts = {
        kind: Part(choice=found, options=content["components"][kind]["options"])
        for kind, found in classes.items()
    }
    weights, dim, members = content["weights"], content["dim"], content["members"]
    numbers = sum(tensor.numel() for tensor in weights.values())
    if dim * members > numbers:
        raise ValueError(f"it has {numbers} weights for {members} flows of {dim} features")
    # The weights bound what honest options ask for.
    with allocation_limit(numbers), drawing_from(seeded(0)):
        networks = make_networks(parts, dim, members, content.get("categories", []))
        layers = make_layers(parts, dim, members)
        ensemble, _ = compose(parts, networks, layers, make_latent(parts, dim))
    ensemble.place(torch.device("cpu"))
    ensemble.load_state_dict(weights)
    ensemble.pull.weight = content["pull_weight"]
    ensemble.level = -float(content["offset"])
    ensemble.scale = float(content.get("scale", 1.0))
    ensemble.eval().attach()
    _check_finite(ensemble)
    ensemble.signed_distance(np.zeros((1, ensemble.width)))  # options of a wrong type fail here
    return ensemble


def _check_finite(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        if not parameter.isfinite().all():
            raise ValueError(f"the weight {name} is not finite")
    for name, buffer in module.named_buffers():
        if buffer.isnan().any():
            raise ValueError(f"{name} is NaN")
