"""An encoder as plain values, which a model file holds, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from compactflow.encoding.context import Context
from compactflow.encoding.encoder import TableEncoder
from compactflow.encoding.parts import PARTS, Part
from compactflow.encoding.windows import Windows

__all__ = ["of_plain", "to_plain"]


def to_plain(encoder: TableEncoder) -> dict[str, Any]:
    """An encoder in values that JSON has."""
    given = [] if encoder.context is None else encoder.context.parts
    return {
        "parts": [{"kind": part.kind, **asdict(part)} for part in [*encoder.parts, *given]],
        "judged": len(encoder.parts),
        "context": encoder.context and encoder.context.to_plain(),
        "masks": encoder.masks,
        "left_out": encoder.left_out,
        "library": encoder.library,
        "windows": encoder.windows and asdict(encoder.windows),
        "carries": encoder.carries,
    }


def of_plain(plain: Mapping[str, Any]) -> TableEncoder:
    """What `to_plain` has written.

    Raises:
        ValueError: If it is not that.
    """
    every = [_part(dict(each)) for each in plain["parts"]]
    parts, given = every[: int(plain["judged"])], every[int(plain["judged"]) :]
    masks = [int(p) for p in plain["masks"]]
    if not parts or not all(0 <= p < len(parts) for p in masks):
        raise ValueError("the encoder has no parts, or gaps of others")
    left_out = {str(name): str(why) for name, why in plain["left_out"].items()}
    encoder = TableEncoder(
        parts=parts, masks=masks, left_out=left_out, library=str(plain["library"])
    )
    if given:
        context = Context.of_plain(given, plain["context"], len(encoder.numbers))
        carries = plain.get("carries", False) is True  # the first files do not have it
        encoder = replace(encoder, context=context, carries=carries)
    course = plain.get("windows")
    if course is not None:
        names = {key: tuple(map(str, course.get(key, ()))) for key in ("columns", "given")}
        encoder = replace(encoder, windows=Windows(**{**course, **names}))
    probe = np.zeros((1, len(every)))
    features = encoder.features(probe)
    encoder.cells(encoder.restore(features, probe[:, len(parts) :]))  # wrong types fail here
    return encoder


def _part(fields: dict[str, Any]) -> Part:
    part = PARTS[fields.pop("kind")](**fields)
    if not isinstance(part.name, str):
        raise ValueError("a part of the encoder has no name")
    return part
