"""Checks of a component before it is used, so that an error names the broken promise."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from compactflow.backbones.base import ConvergenceError
from compactflow.backbones.conditional import bind
from compactflow.flows.flow import CompactFlow
from compactflow.latents.base import Latent
from compactflow.plugins import Kind
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.randomness import drawing_from, seeded

__all__ = [
    "check_arguments",
    "check_call",
    "check_constraints",
    "check_made",
    "check_maps",
    "check_push",
    "check_support",
    "is_own",
    "require_shape",
]

# Methods that an older interface had and nothing calls now, and what stands in their place.
_OLDER: dict[Kind, tuple[tuple[str, ...], str]] = {
    "push": (
        ("__call__", "loss"),
        "define forward(backbone, pull, x, generator=None), which returns the latents "
        "backbone(x) and the term",
    ),
    "pull": (
        ("balance", "keeps_latent"),
        "leave it out: the weight of a pull beside an entropic push is found by itself, and is 1 "
        "for the one that the latent names as confining_pull",
    ),
}
_GENERATOR = "from which it draws random numbers"
# Arguments of methods that an author may leave out, and what they are for.
_ARGUMENTS: dict[Kind, tuple[tuple[str, str, str], ...]] = {
    "backbone": (
        ("inverse", "start", "where an iterative inverse starts; an analytic one ignores it"),
        ("recode", "start", "as the inverse does"),
        ("forward_and_divergence", "generator", _GENERATOR),
    ),
    "latent": (("sample", "generator", _GENERATOR), ("boundary", "generator", _GENERATOR)),
    "preprocessing": (("fit", "member", "which flow of an ensemble it is for"),),
    "score": (("forward", "pull", "the pull of the flow: (flow, pull, x)"),),
}
_PUSH_ARGUMENTS = ("backbone", "pull", "x", "generator")
# Whose modules give the shapes they say, and draw no numbers but when they are made.
_KNOWN = {"compactflow", "torch", "zuko", "normflows"}
_ANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

_Call: TypeAlias = tuple[nn.Module, str, Callable[[], object], tuple[int, ...]]


def check_call(
    kind: Kind,
    component: Any,  # noqa: ANN401
    arguments: tuple[Any, ...],
    options: Mapping[str, Any],
) -> None:
    """Check that a class or function takes these arguments; it is not called here.

    Raises:
        ValueError: If the class is abstract, is written for an older interface, or the options do
            not fit.
    """
    missing = sorted(getattr(component, "__abstractmethods__", ()))
    _check_age(kind, component, complete=not missing)
    if missing:
        raise ValueError(f"the {kind} {component.__name__} must define {', '.join(missing)}")
    try:
        inspect.signature(component).bind(*arguments, **options)
    except TypeError as error:
        raise ValueError(f"{kind}_options do not fit {component.__name__}: {error}") from error


def _check_age(kind: Kind, component: Any, *, complete: bool) -> None:  # noqa: ANN401
    """Refuse a class with methods that only an older interface called."""
    names, advice = _OLDER.get(kind, ((), ""))
    own = [base for base in getattr(component, "__mro__", ()) if _is_foreign(base)]
    old = [name for name in names if any(name in vars(base) for base in own)]
    if complete and old == ["loss"]:  # a helper of its own
        return
    if old:
        raise ValueError(
            f"the {kind} {component.__name__} is written for an older interface: it defines "
            f"{' and '.join(old)}, which nothing calls any more; {advice}"
        )


def _is_foreign(base: type) -> bool:
    """Whether a class is neither torch's nor Python's, nor the interface of a push itself."""
    return base is not Push and base.__module__.partition(".")[0] not in ("torch", "builtins")


def check_made(kind: Kind, component: Any, made: object, base: type) -> None:  # noqa: ANN401
    """Check what a class or function has made.

    Raises:
        ValueError: If it is not of its kind, no complete module, or a method of it does not take
            the arguments that it gets.
    """
    if not isinstance(made, base):
        raise ValueError(
            f"{kind} must be made by {component.__name__}, but that returned {made!r}"
        )
    if isinstance(made, nn.Module) and "_modules" not in vars(made):
        raise ValueError(f"{component.__name__}.__init__ must call super().__init__()")
    if kind in _ARGUMENTS:
        if getattr(made, "dim", None) is None:
            raise ValueError(f"{component.__name__}.__init__ must call super().__init__(dim)")
        check_arguments(kind, made)


def check_arguments(kind: Kind, part: object) -> None:
    """Check that the methods of a component take the arguments that they get.

    Raises:
        ValueError: If one does not; the message says for what the argument is.
    """
    for method, argument, why in _ARGUMENTS[kind]:
        parameters = inspect.signature(getattr(part, method)).parameters
        if argument not in parameters and not any(p.kind in _ANY for p in parameters.values()):
            raise ValueError(
                f"{type(part).__name__}.{method} must take the argument `{argument}`, {why}"
            )


def check_constraints(latent: Latent) -> None:
    """Check the shape of the constraints.

    Raises:
        ValueError: If it is not ``(N, M)``.
    """
    values = latent.constraints(latent.sample(3, seeded(0)))
    if values.ndim != 2 or len(values) != 3:
        raise ValueError(
            f"{type(latent).__name__}.constraints must give (N, M) values for N rows, a column "
            f"for each of M constraints, got {tuple(values.shape)} for 3 rows"
        )


def check_maps(flow: CompactFlow, x: Tensor) -> None:
    """Check the shapes of what first layer and backbone give for a few rows of data ``(N, D)``.

    Raises:
        ValueError: If one is another than its interface promises; the message names the method.
    """
    _check_shapes(_maps(flow, x), x.device)


def check_support(pull: Pull) -> None:
    """Check the shapes of what a pull and its latent give: see `check_maps`.

    Raises:
        ValueError: As there.
    """
    _check_shapes(_support(pull), pull.latent.like.device)


@torch.no_grad()
def _check_shapes(calls: Iterable[_Call], device: torch.device) -> None:
    """Make the calls of the parts that others wrote, with random numbers of our own."""
    with drawing_from(seeded(0, device)):
        for part, method, call, shape in calls:
            if is_own(part):
                continue
            try:
                found = call()
            except (NotImplementedError, ConvergenceError):  # what it lacks may not be needed
                continue
            require_shape(part, method, found, shape)


def require_shape(part: object, method: str, found: object, shape: tuple[int, ...]) -> None:
    """Check what a method gave.

    Raises:
        ValueError: If that is no tensor of this shape.
    """
    if isinstance(found, Tensor) and found.shape == shape:
        return
    got = tuple(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
    raise ValueError(
        f"{type(part).__name__}.{method} must give a tensor of shape {shape} here, got {got}"
    )


def is_own(module: nn.Module) -> bool:
    """Whether a module is this package's, and no part of it is a stranger's."""
    makers = [type(part).__module__.partition(".")[0] for part in module.modules()]
    return makers[0] == "compactflow" and _KNOWN.issuperset(makers)


def _maps(flow: CompactFlow, x: Tensor) -> Iterator[_Call]:
    """Calls of the maps' methods, in an order in which each rests on what was checked."""
    layer, n, dim = flow.preprocessing, len(x), flow.dim
    features = x[:, :dim]
    yield layer, "forward", lambda: layer(features), (n, dim)
    yield layer, "inverse", lambda: layer.inverse(layer(features)), (n, dim)
    yield layer, "log_abs_det", lambda: layer.log_abs_det(features), (n,)
    if is_own(flow.backbone):  # and a copy of it takes long
        return
    # A copy, as the first batch that it sees may decide how a network starts.
    backbone, y = bind(copy.deepcopy(flow.backbone), flow.preprocess(x))
    yield flow.backbone, "forward", lambda: backbone(y), (n, dim)
    yield flow.backbone, "inverse", lambda: backbone.inverse(backbone(y)), (n, dim)


def _support(pull: Pull) -> Iterator[_Call]:
    """Likewise of a latent and its pull."""
    latent, n = pull.latent, 3
    z = latent.sample(n)
    yield latent, "sample", lambda: z, (n, latent.dim)
    yield latent, "boundary", lambda: latent.boundary(n), (n, latent.dim)
    yield latent, "project", lambda: latent.project(z), (n, latent.dim)
    yield latent, "signed_distance", lambda: latent.signed_distance(z), (n,)
    yield latent, "log_prob", lambda: latent.log_prob(z), (n,)
    yield pull, "forward", lambda: pull(z), (n,)


def check_push(push: Any) -> None:  # noqa: ANN401
    """Check that a push, or a class of pushes, says what it is and takes what it gets.

    Raises:
        ValueError: If it does not say whether it maximises entropy, or its forward takes other
            arguments.
    """
    name = getattr(push, "__name__", type(push).__name__)
    if not isinstance(getattr(push, "entropic", None), bool):
        raise ValueError(
            f"the push {name} must say whether it maximises entropy, by the class attribute "
            "`entropic`, True or False"
        )
    taken = inspect.signature(push.forward)
    given = (push, *_PUSH_ARGUMENTS) if isinstance(push, type) else _PUSH_ARGUMENTS
    try:
        bound = taken.bind(*given).arguments
    except TypeError:
        bound = {}
    if bound.get("pull", "pull") != "pull" or not bound:
        raise ValueError(
            f"{name}.forward must take ({', '.join(_PUSH_ARGUMENTS)}=None), got {taken}"
        )
