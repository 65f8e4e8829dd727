"""Several networks side by side, to train an ensemble as one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TypeVar, cast, final

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from compactflow.backbones.base import Backbone
from compactflow.backbones.conditional import Given
from compactflow.backbones.stacking import stack_modules

__all__ = ["Stack"]

_Result = TypeVar("_Result", Tensor, tuple[Tensor, Tensor])


@final
class Stack(Backbone):
    """Creates a backbone of M networks of one class, through which rows pass in turn.

    Row i of a batch passes through network ``i mod M``. A batch of independent rows thus trains
    every network on rows of its own, and a loss that is a mean over rows is the mean of the
    networks' losses. Networks of a parallel class run as one, which in few dimensions costs little
    more than a single one.

    Args:
        networks: The networks, of one class, dimension and set of options; they are copied.

    Examples:
        >>> from compactflow.backbones.coupling import Coupling
        >>> networks = [Coupling(3, blocks=1) for _ in range(2)]
        >>> stack, x = Stack(networks), torch.randn(6, 3)
        >>> bool(torch.allclose(stack(x)[1::2], networks[1](x[1::2]), atol=1e-6))
        True
    """

    def __init__(self, networks: Sequence[Backbone]) -> None:
        super().__init__(networks[0].dim, networks[0].context)
        self.categories = networks[0].categories
        self.members = len(networks)
        self.parallel_networks = networks[0].parallel
        self.networks = nn.ModuleList(
            [stack_modules(networks)] if self.parallel_networks else copy.deepcopy(list(networks))
        )
        # In tuples, as they are no networks of the stack's own.
        self._model = (networks[0],)
        self._singles: tuple[Backbone, ...] = ()

    def unstack(self, networks: Sequence[Backbone]) -> None:
        """Copy the weights into M single networks."""
        states = [network.state_dict() for network in self.networks]
        for m, network in enumerate(networks):
            if self.parallel_networks:
                state = {name: values[m] for name, values in states[0].items()}
            else:
                state = states[m]
            network.load_state_dict(state)

    def singles(self) -> Sequence[Backbone]:
        """The M networks one by one, for rows ``(N, D)`` of their own.

        They share weights with the stack, and a loss of theirs has gradients for those. They
        serve until the weights next change.
        """
        if not self.parallel_networks:
            return cast("Sequence[Backbone]", self.networks)
        if not self._singles:
            self._singles = tuple(copy.deepcopy(self._model[0]) for _ in range(self.members))
        trees = [one.modules() for one in self._singles]
        for merged, *own in zip(self.networks[0].modules(), *trees, strict=True):
            for kind in ("_parameters", "_buffers"):
                for name, values in vars(merged)[kind].items():
                    if values is not None:
                        for module, value in zip(own, values.unbind(), strict=True):
                            vars(module)[kind][name] = value
        return self._singles

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """The rows of each network, of a multiple of M rows in turn."""
        return x.view(-1, self.members, *x.shape[1:]).unbind(dim=1)

    def forward(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``."""
        return self._in_turn(lambda network, x: cast("Tensor", network(x)), x, context=context)

    def inverse(
        self, z: Tensor, *, start: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Map latents ``(N, D)`` to data ``(N, D)``."""
        rows = [z] if start is None else [z, start]
        return self._in_turn(
            lambda network, z, start=None: network.inverse(z, start=start), *rows, context=context
        )

    def log_abs_det(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """``log |det ∂T/∂x|`` of each row of ``(N, D)``, ``(N,)``."""
        return self._in_turn(lambda network, x: network.log_abs_det(x), x, context=context)

    def forward_and_log_abs_det(
        self, x: Tensor, *, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The latents ``(N, D)`` of data ``(N, D)`` and their `log_abs_det`, ``(N,)``."""
        return self._in_turn(
            lambda network, x: network.forward_and_log_abs_det(x), x, context=context
        )

    def recode(
        self, z: Tensor, *, start: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Decode latents ``(N, D)`` and encode the result, each by its network."""
        rows = [z] if start is None else [z, start]
        return self._in_turn(
            lambda network, z, start=None: network.recode(z, start=start), *rows, context=context
        )

    def forward_and_divergence(
        self,
        x: Tensor,
        sigma: float,
        generator: torch.Generator | None = None,
        *,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Latents ``(N, D)`` and the push by Stein's identity, ``(N,)``, each by its network."""
        return self._in_turn(
            lambda network, x: network.forward_and_divergence(x, sigma, generator),
            x,
            context=context,
        )

    def compile_passes(self) -> None:
        """See `Backbone.compile_passes`."""
        for network in self.networks:
            cast("Backbone", network).compile_passes()

    def _in_turn(
        self, function: Callable[..., _Result], *rows: Tensor, context: Tensor | None
    ) -> _Result:
        """Apply a function of a network and its rows, with row i for network ``i mod M``.

        The network is given the rows' context, if there is one.
        """
        m = self.members

        def split(r: Tensor) -> Tensor:
            # (N, ...) -> (M, N/M, ...), after as many rows of zeros as it takes.
            return pad(r, (0, 0, 0, -len(r) % m)).view(-1, m, *r.shape[1:]).transpose(0, 1)

        def given(network: nn.Module, own: Tensor | None) -> Backbone:
            one = cast("Backbone", network)
            return one if own is None else Given(one, own)

        def merge(parts: Sequence[Tensor]) -> Tensor:
            return torch.stack(list(parts), dim=1).flatten(0, 1)[: len(rows[0])]

        turns = [split(r) for r in rows]
        contexts = None if context is None else split(context)
        if self.parallel_networks:
            result = function(given(self.networks[0], contexts), *turns)
            if isinstance(result, Tensor):
                return merge(result.unbind())
            return merge(result[0].unbind()), merge(result[1].unbind())
        own = [None] * m if contexts is None else contexts.unbind()
        networks = [given(network, c) for network, c in zip(self.networks, own, strict=True)]
        results = [function(net, *each) for net, *each in zip(networks, *turns, strict=True)]
        if isinstance(results[0], Tensor):
            return merge(results)
        ones, others = zip(*results, strict=True)
        return merge(ones), merge(others)
