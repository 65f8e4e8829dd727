"""The scikit-learn detector."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Literal, final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from compactflow import archive, storage
from compactflow.backbones.base import Backbone
from compactflow.calibration import calibrate
from compactflow.columns import names_of, select
from compactflow.composition import (
    adapt,
    compose,
    find_parts,
    find_settings,
    make_latent,
    make_networks,
    make_probe,
)
from compactflow.decisions import DecisionMixin
from compactflow.devices import find_device, finest_dtype, fresh_defaults
from compactflow.encoding import EncodingMixin
from compactflow.latents.base import Latent
from compactflow.preprocessing import Method, Preprocessing
from compactflow.presets import Settings
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.pushes.theory import balance, check_theory
from compactflow.randomness import drawing_from, seeded
from compactflow.screening import Ranges, screen
from compactflow.training.checkpoints import Checkpoint, identify
from compactflow.training.holdout import HoldOut
from compactflow.training.trainer import train

__all__ = ["OneClassFlow", "build"]

Array = NDArray[np.float64]
Options = Mapping[str, Any] | None

_FEATURES = ("n_features_in_", "feature_names_in_")
_LARGEST = 1e100  # the square of what is larger would overflow somewhere


@final
class OneClassFlow(EncodingMixin, DecisionMixin, OutlierMixin, BaseEstimator):
    """One-class learning with a compact-latent flow.

    Trains an invertible network so that inliers fill a compact support in latent space; the
    outlier score is the signed distance to the support's boundary, in latent units.

    Components are given by name (see ``compactflow plugins``), class or instance. An argument left
    at ``None`` takes the preset's value.

    Args:
        backbone: The invertible network.
        latent: The support and distribution in latent space.
        pull: Draws latents into the support; by default the one that suits latent and push.
        push: Spreads latents over the support.
        backbone_options: Keyword arguments of the backbone, given by name or class.
        latent_options: Likewise of the latent.
        pull_options: Likewise of the pull.
        push_options: Likewise of the push.
        preset: ``None`` for the default settings, ``"paper"`` for those of the paper.
        preprocessing: Fixed first layer: ``"half-whiten"``, ``"whiten"`` (Ledoit-Wolf),
            ``"standardise"`` or ``"none"``.
        noise: Standard deviation of the normal training noise, in preprocessed units, or
            ``"auto"`` for ``0.25 N^(-1/(D+4))``.
        members: Flows in the ensemble, whose mean signed distance is the score: trained side by
            side, each from its own random start. ``"auto"`` is 8 for a backbone whose networks
            run as one, such as ``"coupling"``, and else 1.
        max_steps: Optimiser steps at most, as a push that drifts is stopped sooner. ``"auto"`` is
            2000 for one flow and 1200 for several, times ``64/D`` beyond 64 features.
        batch_size: Rows per step and member, drawn with replacement.
        learning_rate: Peak learning rate.
        validation_fraction: Share of the rows, in [0, 1), that each flow leaves out of its
            training, to be monitored by them and to place the decision boundary. Of several flows
            each leaves out others, so that all rows train. If that makes fewer than 5 rows, the
            training rows serve.
        boundary: Where decisions change sign: a level in (0, 1), the share of held-out inliers to
            keep inside, or ``"natural"`` for the support's own boundary, signed distance 0.
        device: ``"auto"`` (CUDA if there is one, else the CPU) or a torch device, as ``"cuda:1"``.
        compile: Compile the training steps (`torch.compile`), which makes them up to 40 % shorter
            after a start of up to a minute: for long trainings. Needs a compiler on the machine.
        random_state: Seed; with one, a fit on the CPU is repeatable bit for bit.
        verbose: Show a progress bar.

    Attributes:
        ensemble_: The fitted flows, in float64 if the device has it.
        calibration_, offset_: See `DecisionMixin`.
        ranges_: The range of each column in training.
        history_: Per check of training: step, loss and `compactflow.training.monitors`.
        n_features_in_: The number of features D.
        feature_names_in_: Column names, when fitted on a data frame.

    References:
        Schmier, Köthe, Straehle (2024), *Towards reliable outlier detection using invertible
        one-class networks*.
    """

    history_: dict[str, list[float]]

    def __init__(
        self,
        backbone: str | type[Backbone] | Backbone = "coupling",
        latent: str | type[Latent] | Latent = "cube",
        pull: str | type[Pull] | Pull | None = None,
        push: str | type[Push] | Push | None = None,
        *,
        backbone_options: Options = None,
        latent_options: Options = None,
        pull_options: Options = None,
        push_options: Options = None,
        preset: Literal["paper"] | None = None,
        preprocessing: Method | None = None,
        noise: float | Literal["auto"] | None = None,
        members: int | Literal["auto"] | None = None,
        max_steps: int | Literal["auto"] | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        validation_fraction: float = 0.1,
        boundary: float | Literal["natural"] | None = None,
        device: str = "auto",
        compile: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.backbone = backbone
        self.latent = latent
        self.pull = pull
        self.push = push
        self.backbone_options = backbone_options
        self.latent_options = latent_options
        self.pull_options = pull_options
        self.push_options = push_options
        self.preset = preset
        self.preprocessing = preprocessing
        self.noise = noise
        self.members = members
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.boundary = boundary
        self.device = device
        self.compile = compile
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> OneClassFlow:
        """Train on inliers.

        Args:
            X: Inliers, ``(N, D)``, N ≥ 2, finite; arrays and data frames of numbers.
            y: Ignored.
            checkpoint: A folder to keep the state of training in. A fit that was killed goes on
                from it, when called again with the same data and arguments, and on the CPU ends
                with the same weights bit for bit. The file stays there.

        Returns:
            The fitted detector.

        Raises:
            ValueError: If the data or a parameter is unfit, or the checkpoint is of another run;
                the message names it.

        Warns:
            CalibrationWarning: If the held-out rows are too few for the boundary.
            TrainingDivergedWarning: If training ran away and was stopped.
            compactflow.screening.SuspectColumnWarning: If columns look like identifiers, labels
                or have a code for missing values among theirs.
        """
        settings = find_settings(self)
        for kind, part in find_parts(self).items():
            archive.check(part.options, f"{kind}_options")
        device = find_device(self.device)
        # The features are learned on a copy: this detector changes when all has succeeded.
        checked = copy.copy(self)
        data: Array = validate_data(checked, select(X), dtype=np.float64, ensure_min_samples=2)
        if np.abs(data).max() > _LARGEST:
            raise ValueError(f"X has values beyond {_LARGEST:g}; rescale its columns")
        screen(data, names_of(checked, data.shape[1]))
        with ExitStack() as stack:
            kept, random_state = None, self.random_state
            if checkpoint is not None:
                identity = identify(self.get_params(deep=False), data)
                kept = stack.enter_context(Checkpoint(checkpoint, identity, random_state))
                random_state = kept.seed
            rng = check_random_state(random_state)
            data = data[rng.permutation(len(data))]
            stack.enter_context(fresh_defaults(grad=True))
            fitted = self._fit(data, settings, device, int(rng.randint(2**31)), kept)
        features = {name: value for name, value in vars(checked).items() if name in _FEATURES}
        others = {name: value for name, value in vars(self).items() if not name.endswith("_")}
        self.__dict__ = others | features | fitted
        self.calibration_.warn(settings.boundary)
        return self

    def _fit(
        self,
        data: Array,
        settings: Settings,
        device: torch.device,
        seed: int,
        checkpoint: Checkpoint | None,
    ) -> dict[str, Any]:
        """The fitted attributes."""
        parts, dim, generator = find_parts(self), data.shape[1], seeded(seed)
        x = torch.from_numpy(data).to(device, finest_dtype(device))
        with drawing_from(generator):
            networks = make_networks(parts, dim, settings.members)
            hold_out = HoldOut.of(len(data), len(networks), self.validation_fraction)
            layers = [
                Preprocessing.fit(data[rows], settings.preprocessing)
                for rows in hold_out.training_rows().T.numpy()
            ]
            latent, trained = make_latent(parts, dim).to(device), hold_out.trained().to(device)
            anchors = adapt(parts, latent, layers[0].to(device), x, trained)
            ensemble, push = compose(parts, networks, layers, latent)
        ensemble.place(device)
        ensemble.cast(torch.float32)
        push.to(latent.like)
        check_theory(ensemble.pull, push)
        balance(ensemble.pull, push)
        history = train(
            ensemble.flows,
            x,
            hold_out,
            pull=ensemble.pull,
            push=push,
            options=settings.training_options(
                len(data) - hold_out.each,
                dim,
                members=len(networks),
                compile=self.compile,
                verbose=self.verbose,
            ),
            generator=generator if device.type == "cpu" else seeded(seed, device),
            anchors=anchors,
            checkpoint=checkpoint,
        )
        ensemble.eval().place(device)
        calibration = calibrate(ensemble, data, hold_out)
        return {
            "ensemble_": ensemble,
            "history_": history,
            "calibration_": calibration,
            "ranges_": Ranges.of(data),
            "offset_": -calibration.threshold(settings.boundary),
        }

    def signed_distance(self, X: ArrayLike) -> Array:
        """Signed distance of each row, ``(N,)``, the mean over the flows: negative inside."""
        rows = self.check_rows(X)
        return self.ensemble_.signed_distance(rows)

    def log_density(self, X: ArrayLike) -> Array:
        """Log-density of each row in nats, up to a constant of the pull, ``(N,)``.

        That of the mixture of the ensemble's flows in equal shares. Of a single flow, minus this
        is the loss of the likelihood push.
        """
        rows = self.check_rows(X)
        return self.ensemble_.log_density(rows)

    def save(self, path: str | os.PathLike[str], *, folder: bool = False) -> None:
        """Write the fitted detector to a file or a folder: see `compactflow.storage.save`."""
        check_is_fitted(self)
        storage.save(self, path, folder=folder)


def build(
    backbone: str | type[Backbone] | Backbone = "coupling",
    latent: str | type[Latent] | Latent = "cube",
    pull: str | type[Pull] | Pull | None = None,
    push: str | type[Push] | Push | None = None,
    **options: Any,  # noqa: ANN401
) -> OneClassFlow:
    """Compose an unfitted detector; the dimension is read off the data when it is fitted.

    Args:
        backbone: The invertible network: a name, a class or an instance; likewise the next three.
        latent: The support and distribution in latent space.
        pull: Draws latents into the support; by default the one that suits latent and push.
        push: Spreads latents over the support.
        **options: The other arguments of `OneClassFlow`, checked here.

    Raises:
        ValueError: If a name or an option is unknown or out of range, or if pull and push do not
            go together: the message says why.
    """
    unknown = options.keys() - OneClassFlow().get_params()
    if unknown:
        raise ValueError(
            f"build got unknown options {', '.join(sorted(unknown))}; it takes "
            f"{', '.join(OneClassFlow().get_params())}"
        )
    detector = OneClassFlow(backbone, latent, pull, push, **options)
    with fresh_defaults(), drawing_from(seeded(0)):
        check_theory(*make_probe(detector))
    return detector
