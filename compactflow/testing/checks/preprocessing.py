"""The checks of a first layer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from compactflow.preprocessing.base import Preprocessing
from compactflow.testing.results import Checks, collect, require
from compactflow.testing.tools import (
    equal,
    on_meta,
    reloaded,
    require_finite,
    require_registered,
    require_untouched,
    trained,
)

__all__ = ["CHECKS"]

CHECKS: Checks = {}
_check = collect(CHECKS)

Make: TypeAlias = Callable[[int], Preprocessing]
Array: TypeAlias = NDArray[np.float64]

_TOLERANCE = 1e-9  # of a round trip in float64, relative to the column


@_check
def dimensions(make: Make) -> None:
    """It can be made and fitted in 1, 2 and 5 dimensions, by 2 rows or more, and not in 0."""
    for dim in (1, 2, 5):
        for rows in (2, 200):
            layer = _fitted(make, _plain(dim, rows))
            require(layer.dim == dim, f"dim is {layer.dim} for dimension {dim}")
            x = torch.from_numpy(_plain(dim, 7))
            for name, found in (("forward", layer(x)), ("inverse", layer.inverse(x))):
                require(found.shape == (7, dim), f"{name} of {(7, dim)} is {tuple(found.shape)}")
            slopes = layer.log_abs_det(x)
            require(slopes.shape == (7,), f"log_abs_det of 7 rows is {tuple(slopes.shape)}")
            where = f"in D = {dim}, fitted to {rows} rows"
            require_finite(where, forward=layer(x), log_abs_det=slopes)
    try:
        make(0)
    except ValueError:
        return
    require(False, "dim=0 is accepted; raise ValueError")


@_check
def inverse_undoes_forward(make: Make) -> None:
    """The round trip returns to 1e-9 of a column, from the rows and from 1e3 and 1e6 of them."""
    for name, data, layer in _cases(make):
        for scale in (1.0, 1e3, 1e6):
            x = torch.from_numpy(scale * data)
            error = (layer.inverse(layer(x)) - x).abs().amax(dim=0)
            worst = float((error / x.abs().amax(dim=0)).max())
            require(
                worst < _TOLERANCE,
                f"the round trip of {name} from {scale:.0e} of the rows is off by {worst:.2g} of "
                "a column's largest value",
            )


@_check
def joined_maps_as_each_does(make: Make) -> None:
    """What joined gives are the maps of two layers, each as its own, near and far."""
    for name, data, layer in _cases(make):
        other = copy.deepcopy(layer)
        other.fit(data[::2], member=1)
        for scale in (1.0, 1e3, 1e6):
            x = torch.from_numpy(scale * data)
            found = type(layer).joined([layer, other])(x)
            exact = torch.stack([layer(x), other(x)])
            require(equal(found, exact, 1e-9), f"joined maps {name} otherwise than its layers do")


@_check
def finite_far_away(make: Make) -> None:
    """Both directions and log_abs_det are finite a million units away."""
    for name, data, layer in _cases(make):
        far = torch.from_numpy(1e6 * data)
        latents = 1e6 * torch.randn(50, data.shape[1], dtype=torch.float64)
        require_finite(
            f"at 1e6 of {name}",
            forward=layer(far),
            log_abs_det=layer.log_abs_det(far),
            inverse=layer.inverse(latents),
        )


@_check
def log_abs_det_is_the_slope(make: Make) -> None:
    """log_abs_det is that of the Jacobian, by finite differences and by autograd."""
    for dim in (1, 3):
        data = _plain(dim)
        for member in (0, 1):
            layer = _fitted(make, data, member)
            rows = np.concatenate([data[:20], 30 * data[:4]])
            x = torch.from_numpy(rows + 1e-3 * data.std(axis=0))
            found = layer.log_abs_det(x)
            jacobian = torch.func.vmap(torch.func.jacrev(lambda row: layer(row[None])[0]))(x)  # noqa: B023
            exact = torch.linalg.slogdet(jacobian).logabsdet
            step = torch.from_numpy(1e-6 * data.std(axis=0))
            sides = [
                layer((x[:, None] + sign * step.diag()).flatten(0, 1)).view(len(x), dim, dim)
                for sign in (1, -1)
            ]
            slope = torch.linalg.slogdet(sides[0] - sides[1]).logabsdet
            slope = slope - (2 * step).log().sum()
            for how, expected in (("finite differences", slope), ("autograd", exact)):
                # Where a map has kinks, a difference may straddle one.
                worst = float((found - expected).abs().quantile(0.9))
                require(
                    worst < 1e-4,
                    f"log_abs_det is off by {worst:.2g} from that of the Jacobian by {how}, in "
                    f"D = {dim}",
                )


@_check
def a_wild_value_does_not_blind_a_column(make: Make) -> None:
    """One wild value in 200 rows does not hide an outlier in the same column."""
    data = _plain(3)
    unit, centre = data.std(axis=0), data.mean(axis=0)
    far = centre + [0, 0, 20] * unit
    rows = torch.from_numpy(np.concatenate([data[:100], far[None]]))
    for wild in (1e3, -1e6, 1e12):
        dirty = data.copy()
        dirty[7, 2] = centre[2] + wild * unit[2]
        for member in (0, 1):
            ratios = []
            for fitted_to in (data, dirty):
                layer = _fitted(make, fitted_to, member)
                moved = layer(rows) - layer(torch.from_numpy(centre[None]))
                ratios.append(moved[-1].norm() / moved[:-1].norm(dim=1).median())
            require(
                ratios[1] > 0.25 * ratios[0],
                f"a value of {wild:.0e} standard deviations among 200 brings an outlier from "
                f"{ratios[0]:.2g} to {ratios[1]:.2g} times the distance of an inlier; take "
                "statistics of `fence(X)`",
            )


@_check
def equal_values_keep_their_unit(make: Make) -> None:
    """Columns of one value stay finite, and a later deviation of 1 in them is about 1."""
    for value in (0.0, 7.0, 1e6):
        data = np.full((50, 3), value)
        layer = _fitted(make, data)
        x = torch.from_numpy(data[:2].copy())
        x[1, 0] += 1
        y = layer(x)
        require_finite(f"for columns of {value:g}", forward=y, log_abs_det=layer.log_abs_det(x))
        moved = float((y[1] - y[0]).norm())
        require(
            0.1 < moved < 10, f"a deviation of 1 in a column of {value:g} is mapped to {moved:.2g}"
        )


@_check
def a_fit_starts_anew(make: Make) -> None:
    """A fit is decided by the data and the member: not by chance, nor by an earlier fit."""
    data, other = _plain(3), _table()[:, :3]
    for member in (0, 1, 2):
        x = torch.from_numpy(data[:20])
        layer = _fitted(make, data, member)
        expected = layer(x)
        torch.default_generator.manual_seed(member + 1)
        require(equal(_fitted(make, data, member)(x), expected), "two fits to one data differ")
        layer.fit(other, member=member)
        require(
            equal(layer(x), _fitted(make, other, member)(x)), "a second fit is not to its data"
        )
        layer.fit(data, member=member)
        require(equal(layer(x), expected), "a fit depends on what the layer was fitted to before")


@_check
def leaves_its_input_alone(make: Make) -> None:
    """Neither fit nor a map changes what it is given."""
    data = _plain(3)
    before = data.copy()
    layer = _fitted(make, data)
    require((data == before).all(), "fit changes its data in place")
    x = torch.from_numpy(data[:20].copy())
    for call in (layer, layer.inverse, layer.log_abs_det):
        require_untouched({"the input": x}, lambda: call(x))  # noqa: B023


@_check
def rows_are_independent(make: Make) -> None:
    """A row is mapped alike alone and within a batch, again, and after eval()."""
    for name, data, layer in _cases(make):
        x = torch.from_numpy(data[:50])
        for call in (layer.forward, layer.inverse, layer.log_abs_det):
            values = call(x)
            alone = torch.cat([call(row[None]) for row in x[:5]])
            what = f"{call.__name__} of a row of {name}"
            require(equal(alone, values[:5]), f"{what} depends on the other rows")
            require(len(call(x[:0])) == 0, f"{call.__name__} of no rows gives some")
            layer.eval()
            require(equal(call(x), values), f"{what} is another after eval()")
            layer.train()


@_check
def nothing_in_it_trains(make: Make) -> None:
    """It has no parameters that train, as it is fixed once it is fitted."""
    layer = _fitted(make, _plain(3))
    require(not trained(layer), "it has parameters with requires_grad; register them as buffers")


@_check
def state_survives_saving(make: Make) -> None:
    """A fresh layer of the same options maps alike once it has loaded the state."""
    for name, data, layer in _cases(make):
        x = torch.from_numpy(data[:50])
        fresh = reloaded(layer, lambda: make(data.shape[1]))  # noqa: B023
        for what in ("forward", "inverse", "log_abs_det"):
            found, expected = getattr(fresh, what)(x), getattr(layer, what)(x)
            require(
                torch.equal(found, expected),
                f"{what} of {name} differs after loading; register what it needs as buffers",
            )
        require(torch.equal(copy.deepcopy(layer)(x), layer(x)), "a deep copy maps otherwise")
        require_registered(layer, lambda module: module(x))  # noqa: B023


@_check
def follows_device_and_dtype(make: Make) -> None:
    """It computes on the device and in the dtype that it was moved to, whatever the rows' own."""
    layer = _fitted(make, _plain(3))
    for dtype in (torch.float32, torch.float64):
        layer.to(dtype)
        for rows in (torch.float32, torch.float64):
            for call in (layer, layer.inverse):
                found = call(torch.zeros(4, 3, dtype=rows)).dtype
                require(found == dtype, f"it gives {found} of {rows} rows after .to({dtype})")
    layer.to("meta")
    zeros = torch.zeros(4, 3, dtype=torch.float64, device="meta")
    on_meta([("forward", lambda: layer(zeros)), ("inverse", lambda: layer.inverse(zeros))])


def _cases(make: Make) -> Iterator[tuple[str, Array, Preprocessing]]:
    """Tables with the layer fitted to them, for the first flow and the second."""
    for name, data in (("correlated columns", _plain(5)), ("a table", _table())):
        for member in (0, 1):
            yield name, data, _fitted(make, data, member)


def _fitted(make: Make, data: Array, member: int = 0) -> Preprocessing:
    layer = make(data.shape[1])
    layer.fit(data, member=member)
    return layer


def _plain(dim: int, rows: int = 200) -> Array:
    """Correlated normal columns of several units, ``(rows, dim)``."""
    rng = np.random.default_rng(0)
    mixing = np.eye(dim) + 0.5 * rng.normal(size=(dim, dim))
    units = 10.0 ** np.linspace(-3, 4, dim)
    return np.asarray((rng.normal(size=(rows, dim)) @ mixing + rng.normal(size=dim)) * units)


def _table() -> Array:
    """Columns as tables have them: counts, heavy tails, mostly zeros, codes, a large offset."""
    rng = np.random.default_rng(1)
    columns = (
        rng.poisson(1, 400),
        np.exp(2 * rng.normal(size=400)),
        (rng.random(400) < 0.01) * rng.random(400),
        rng.integers(0, 2, 400),
        1e6 + rng.normal(size=400),
    )
    return np.stack(columns, axis=1).astype(float)
