"""What the checks of several kinds share."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, final

import torch
from torch import Tensor, nn

from compactflow.backbones.base import Backbone
from compactflow.flows.flow import CompactFlow
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.randomness import seeded
from compactflow.testing.results import SkipCheck, require
from compactflow.training.holdout import HoldOut
from compactflow.training.optimisation import make_optimizer
from compactflow.training.trainer import TrainingDivergedWarning, TrainingOptions, train

__all__ = [
    "Plain",
    "equal",
    "gradient",
    "learn",
    "modes",
    "on_meta",
    "perturb",
    "relative_energy_distance",
    "reloaded",
    "require_finite",
    "require_registered",
    "require_slope",
    "require_untouched",
    "short_training",
    "started",
    "trained",
]

_LEARNING = 120  # steps of a push's own parameters
_PART = 500

_Module = TypeVar("_Module", bound=nn.Module)


@final
class Plain(Backbone):
    """A network with the methods of the base class, in place of those that it has for speed."""

    parallel: ClassVar[bool] = False

    def __init__(self, inner: Backbone) -> None:
        super().__init__(inner.dim)
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``."""
        z: Tensor = self.inner(x)
        return z

    def inverse(self, z: Tensor, *, start: Tensor | None = None) -> Tensor:
        """Map latents ``(N, D)`` to data ``(N, D)``."""
        return self.inner.inverse(z, start=start)


def trained(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that train."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


@torch.no_grad()
def perturb(module: _Module, scale: float = 0.1) -> _Module:
    """Add normal noise to every parameter that trains, in place: a stand-in for training."""
    for parameter in trained(module):
        parameter.add_(torch.randn_like(parameter), alpha=scale)
    return module


@torch.no_grad()
def started(backbone: Backbone) -> Backbone:
    """The backbone, once it has seen data, with which an ActNorm for example starts."""
    like = next(backbone.parameters(), torch.zeros(()))
    backbone(2 * torch.randn(64, backbone.dim).to(like) + 1)
    return backbone


def equal(one: Tensor, other: Tensor, tolerance: float = 1e-9) -> bool:
    """Whether two tensors agree, relative to their largest entry or 1."""
    if one.shape != other.shape:
        return False
    if not one.numel():
        return True
    return bool((one - other).abs().max() <= tolerance * (1 + other.abs().max()))


def relative_energy_distance(one: Tensor, other: Tensor) -> float:
    """The energy distance of two samples, in units of the mean distance between them."""
    middle = other.mean(dim=0)
    one, other = ((rows - middle).float() for rows in (one, other))  # in half the time
    # In parts that a cache holds; within a sample each two of them once.
    parts = torch.split(one, _PART)
    apart = sum(float(torch.cdist(part, other).sum()) for part in parts)
    within = sum(_within(rows) / (len(rows) * (len(rows) - 1)) for rows in (one, other))
    return 2 - within * len(one) * len(other) / apart


def _within(rows: Tensor) -> float:
    """The sum of the distances of each row to each."""
    parts = [(rows[i : i + _PART], rows[i + _PART :]) for i in range(0, len(rows), _PART)]
    return sum(
        float(torch.cdist(part, part).sum() + 2 * torch.cdist(part, after).sum())
        for part, after in parts
    )


def gradient(value: Tensor, module: nn.Module) -> Tensor:
    """The gradient of a scalar for all parameters of a module that train, as one vector."""
    parameters = trained(module)
    require(parameters, "it has no parameters to train")
    parts = torch.autograd.grad(value, parameters, retain_graph=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])


def modes(*modules: nn.Module) -> list[bool]:
    """Whether parts are in training mode, and parameters train."""
    parts = [part for module in modules for part in module.modules()]
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return [part.training for part in parts] + [p.requires_grad for p in parameters]


def require_finite(where: str, **values: Tensor) -> None:
    """Fail unless all values are finite."""
    for name, value in values.items():
        require(value.isfinite().all(), f"{name} is not finite {where}")


def require_slope(
    what: str,
    value: Callable[[], Tensor],
    tensors: Sequence[Tensor],
    parts: Sequence[Tensor] | None = None,
) -> None:
    """Fail unless the gradient of a scalar for float64 tensors is the slope of its values.

    The gradient is made of `parts`, one for each tensor, if they are at hand.
    """
    directions = [torch.randn_like(tensor) for tensor in tensors]
    if parts is None:
        parts = torch.autograd.grad(value(), tensors, materialize_grads=True)
    found = sum(float((part * d).sum()) for part, d in zip(parts, directions, strict=True))
    step, values = 1e-6, []
    with torch.no_grad():
        for sign in (1, -1):
            for tensor, direction in zip(tensors, directions, strict=True):
                tensor.add_(direction, alpha=sign * step)
            values.append(float(value()))
            for tensor, direction in zip(tensors, directions, strict=True):
                tensor.sub_(direction, alpha=sign * step)
    slope = (values[0] - values[1]) / (2 * step)
    require(
        abs(found - slope) <= 1e-3 * (abs(slope) + 1e-3),
        f"the gradient of {what} is {found:.6g} along a line where its values have the slope "
        f"{slope:.6g}",
    )


def require_untouched(tensors: Mapping[str, Tensor], call: Callable[[], object]) -> None:
    """Fail if a call changes tensors in place."""
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    call()
    for name, tensor in tensors.items():
        require(torch.equal(tensor, before[name]), f"{name} is changed in place")


def require_registered(module: nn.Module, compute: Callable[[nn.Module], Tensor]) -> None:
    """Fail if what is computed depends on a tensor that is neither parameter nor buffer."""
    expected = compute(module)
    changed = copy.deepcopy(module)
    for name, tensor in _unregistered(changed):
        if tensor.is_floating_point() and tensor.device.type == "cpu":
            with torch.no_grad():
                tensor.add_(1)
                found = compute(changed)
                tensor.sub_(1)
            require(
                equal(found, expected),
                f"it computes with the tensor in {name!r}, which is not registered: it neither "
                "trains nor moves to a device, and is not saved; make it an nn.Parameter if it "
                "is to train, and else register it by register_buffer",
            )


def _unregistered(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Tensors among the attributes of a module and of those in it, also in lists and dicts."""
    own = {"_parameters", "_buffers", "_modules"}
    for part in module.modules():
        for name, value in vars(part).items():
            if name not in own:
                yield from ((name, tensor) for tensor in _tensors_in(value))


def _tensors_in(value: Any) -> Iterator[Tensor]:  # noqa: ANN401
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors_in(item)
    elif isinstance(value, dict):
        yield from _tensors_in(list(value.values()))


def reloaded(module: nn.Module, make: Callable[[], _Module]) -> _Module:
    """A fresh component, made with other random numbers, with the saved state of a module."""
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    torch.default_generator.manual_seed(1)
    fresh = make()
    fresh.load_state_dict(torch.load(file))
    return fresh


def on_meta(calls: Iterable[tuple[str, Callable[[], Tensor]]]) -> None:
    """Fail if a call of a component on torch's ``meta`` device mixes in another device.

    That device has no memory, and so any machine has it.
    """
    for name, call in calls:
        try:
            device = call().device
        except RuntimeError as error:  # a NotImplementedError, or one of Tensor.item()
            if not isinstance(error, NotImplementedError) and ".item()" not in str(error):
                raise
            raise SkipCheck(f"{name} looks at values, which meta tensors do not have") from error
        require(
            device.type == "meta",
            f"{name} is on {device} after .to('meta'); register tensors as buffers, and create "
            "new ones on the device of another",
        )


def short_training(
    flows: Sequence[CompactFlow], x: Tensor, pull: Pull, push: Push, *, steps: int
) -> None:
    """Train flows side by side for some steps, and fail if that diverges."""
    require(trained(flows[0]), "it has no parameters to train")
    options = TrainingOptions(
        max_steps=steps, batch_size=64, learning_rate=3e-2, noise=0.0, checks=1
    )
    hold_out = HoldOut(len(x), len(flows))
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrainingDivergedWarning)
        train(flows, x, hold_out, pull=pull, push=push, options=options, generator=seeded(0))


def learn(push: Push, backbone: Backbone, pull: Pull, rows: Callable[[], Tensor]) -> None:
    """Train what a push has of its own, for a backbone that stays as it is."""
    own = trained(push)
    if not own:
        return
    optimizer = make_optimizer("adam", own, 1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.01, _LEARNING)
    for step in range(_LEARNING):
        parts = torch.autograd.grad(
            push(backbone, pull, rows(), seeded(step))[1], own, materialize_grads=True
        )
        for parameter, part in zip(own, parts, strict=True):
            parameter.grad = part
        optimizer.step()
        schedule.step()
    optimizer.zero_grad()
