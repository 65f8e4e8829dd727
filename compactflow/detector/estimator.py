"""The scikit-learn detector: a face of the ensemble."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar, final

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from compactflow.backbones.base import Backbone
from compactflow.detector.calibration import Boundary
from compactflow.detector.decisions import EnsembleDetector
from compactflow.detector.fitting import fit_ensemble
from compactflow.detector.rows import take_training
from compactflow.detector.saving import as_model
from compactflow.detector.settings import Settings
from compactflow.flows.scores import Score
from compactflow.latents.base import Latent
from compactflow.persistence.model import write
from compactflow.preprocessing.base import Preprocessing
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.training.callbacks import Callback
from compactflow.training.optimisation import OptimizerChoice, ScheduleChoice
from compactflow.workers import EngineChoice, find_workers

__all__ = ["OneClassFlow"]

Options = Mapping[str, Any] | None
Component = TypeVar("Component")
Chosen: TypeAlias = str | type[Component] | Component
Link: TypeAlias = str | type[Component] | Mapping[str, Any]

_FEATURES = ("n_features_in_", "feature_names_in_")


@final
class OneClassFlow(EnsembleDetector):
    """One-class learning with a compact-latent flow.

    Trains an invertible network so that inliers gather in a compact support in latent space; the
    outlier score is the signed distance to the boundary of a set that holds a share of them: see
    `signed_distance` for its units.

    Components are given by name (see ``compactflow plugins``), class or instance. An argument left
    at ``None`` takes the preset's value.

    Args:
        backbone: The invertible network; or a list of several, one after the other.
        latent: The support and distribution in latent space: ``"cube"``, unless a preset decides.
        pull: Draws latents into the support; by default the one that suits latent and push.
        push: Spreads latents over the support.
        backbone_options: Keyword arguments of the backbone, given by name or class.
        latent_options: Likewise of the latent.
        pull_options: Likewise of the pull.
        push_options: Likewise of the push.
        preset: ``None`` for the default settings, ``"fast"`` for networks of half their depth,
            ``"natural"`` for a normal latent, whose boundary decides, ``"paper"`` for the paper's.
        preprocessing: The fixed first layer, such as ``"marginal"``, ``"half-whiten"``,
            ``"whiten"``, ``"standardise"``, ``"enclose"`` or ``"none"``; or a list of several, one
            after the other.
        preprocessing_options: Keyword arguments of the first layer, given by name or class.
        noise: Standard deviation of the normal training noise, in preprocessed units, or
            ``"auto"`` for ``0.25 N^(-1/(D+4))``.
        members: Flows in the ensemble, whose mean score counts: trained side by side, each from
            its own random start. ``"auto"`` is 4 for a backbone whose networks run as one, such as
            ``"coupling"``, and else 1.
        max_steps: Optimiser steps at most, as a push that drifts is stopped sooner. ``"auto"`` is
            2000 for one flow, or 600 with ``push="mirror"``, and 400 for several, times ``64/D``
            beyond 64 features, and at most 200 for several with ``score_by="neighbours"``.
        batch_size: Rows per step and member, drawn with replacement.
        learning_rate: Peak learning rate.
        optimizer: ``"adam"``, ``"adamw"``, ``"nadam"``, ``"radam"``, ``"rmsprop"`` or ``"sgd"``,
            or a class or function to call with ``(parameters, lr=rate)``.
        schedule: ``"one-cycle"``, ``"cosine"``, ``"linear"`` or ``"constant"``, or a function to
            call with ``(optimizer, steps)``, or one of torch's classes that needs nothing else.
        clip: Bound on the gradient's norm; ``float("inf")`` for none.
        patience: Checks in a row, of about twenty, that may be worse than the best by more than
            noise; after that training stops.
        validation_fraction: Share of the rows, in [0, 1), that each flow leaves out of its
            training, to be monitored by them and to place the decision boundary. Of more than two
            flows each pair leaves out others, so that all rows train. ``"auto"`` is a tenth, or up
            to a quarter of few rows. If that makes fewer than 5 rows, the training rows serve.
        outlier_share: Share of the rows that may be outliers, in [0, 0.5). More neighbours
            then count in the score, by twice this share of the reference rows, as outliers of a
            kind are near each other; and the held-out rows lose this share of their highest
            scores. With 0, all rows are taken as inliers: a few outliers among them cost little,
            and widen the boundary.
        score_by: How far a row is from the inliers: ``"neighbours"`` is the distance to the
            nearest of up to 4096 training rows, which the detector keeps, measured on the flows'
            graphs, and, with a smaller weight, that of its values to the known ones of their
            columns (see `compactflow.flows.nearness.Nearness`); ``"support"`` is the signed
            distance of its latent to the latent's support, which ``boundary="natural"`` takes.
            Further ``"density"``, ``"blend"`` and ``"quantile"``, or a
            `compactflow.flows.scores.Score` of your own. Whatever the score, held-out rows place
            its boundary.
        score_options: Keyword arguments of the score, given by name or class.
        boundary: Where decisions change sign: a level in (0, 1), the share of held-out inliers to
            keep inside by a larger or smaller support; or that of the latent's own support, with
            latents scaled to keep a share, ``"natural"``, or as training left them, ``"bare"``.
        categorical: Columns of a table to take for categories, though they hold numbers, or a
            different text in nearly every row.
        context: Columns of a table given which the others are judged: what is usual for this
            machine, or at this hour. Backbones that take a context see it.
        windows: For time series the arguments of `compactflow.windows`, as ``{"size": 16, "by":
            "pump", "time": "when"}``: each row is seen with what came before it in its table.
            Blocks of consecutive rows are held out together, unless `fit` is given groups.
        device: ``"auto"`` (CUDA if there is one, else the CPU) or a torch device, as ``"cuda:1"``.
        compile: Compile the training steps (`torch.compile`), which makes them up to 40 % shorter
            after a start of up to a minute: for long trainings. Needs a compiler on the machine.
        random_state: Seed; with one, a fit on the CPU is repeatable bit for bit.
        verbose: Show progress: a bar on a terminal, elsewhere a line every half minute.

    Attributes:
        ensemble_: The fitted flows, in float64 if the device has it.
        calibration_: Held-out signed distances with which new ones are compared.
        ranges_: The range of each column in training.
        encoder_: What makes numbers of a table's columns; ``None`` if they are numbers.
        columns_: What each column was taken for.
        settings_: The resolved arguments.
        history_: For each check of training the step, the loss and the values of
            `compactflow.training.monitors`.
        n_features_in_: The number of features D.
        feature_names_in_ (NDArray[str]): Column names, when fitted on a data frame.

    Examples:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> detector = OneClassFlow(max_steps=5, random_state=0).fit(X)
        >>> detector.predict([[0.0, 0.0], [9.0, 9.0]])
        array([ 1, -1])

    References:
        Schmier, Köthe, Straehle (2024), *Towards reliable outlier detection using invertible
        one-class networks*.
    """

    settings_: Settings
    history_: dict[str, list[float]]

    def __init__(
        self,
        backbone: Chosen[Backbone] | Sequence[Link[Backbone]] = "coupling",
        latent: str | type[Latent] | Latent | None = None,
        pull: str | type[Pull] | Pull | None = None,
        push: str | type[Push] | Push | None = None,
        *,
        backbone_options: Options = None,
        latent_options: Options = None,
        pull_options: Options = None,
        push_options: Options = None,
        preset: Literal["fast", "natural", "paper"] | None = None,
        preprocessing: Chosen[Preprocessing] | Sequence[Link[Preprocessing]] | None = None,
        preprocessing_options: Options = None,
        noise: float | Literal["auto"] | None = None,
        members: int | Literal["auto"] | None = None,
        max_steps: int | Literal["auto"] | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        optimizer: OptimizerChoice | None = None,
        schedule: ScheduleChoice | None = None,
        clip: float | None = None,
        patience: int | None = None,
        validation_fraction: float | Literal["auto"] = "auto",
        outlier_share: float = 0.0,
        score_by: Chosen[Score] | None = None,
        score_options: Options = None,
        boundary: Boundary | None = None,
        categorical: Sequence[str] | None = None,
        context: Sequence[str] | None = None,
        windows: Mapping[str, Any] | None = None,
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
        self.preprocessing_options = preprocessing_options
        self.noise = noise
        self.members = members
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.schedule = schedule
        self.clip = clip
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.outlier_share = outlier_share
        self.score_by = score_by
        self.score_options = score_options
        self.boundary = boundary
        self.categorical = categorical
        self.context = context
        self.windows = windows
        self.device = device
        self.compile = compile
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        callbacks: Iterable[Callback] = (),
        engine: EngineChoice | None = None,
    ) -> OneClassFlow:
        """Train on inliers.

        Args:
            X: Inliers, ``(N, D)``, N ≥ 2: an array of finite numbers, or a table of pandas, polars
                or Arrow, which may have categories, text, dates, times and gaps as well.
            y: -1 for known outliers, 1 or 0 for all others; other labels are ignored. Known
                outliers train nothing and place no boundary, but a score by neighbours leans: rows
                in their direction count as further out. One is enough, and none is needed.
            sample_weight: How much each row counts, ``(N,)``, at least 0; only ratios matter. A
                row trains flows, first layers and score as often as it weighs, and weighs so in
                the boundary and p-values, which are for new rows as frequent as the weights say.
                (Rows that are there several times count so too, if two columns tell rows apart.)
            groups: To which patient, machine or day each row belongs, ``(N,)``, numbers or text.
                Rows of a group are alike, so they are held out together: the boundary and
                p-values then are for rows of new groups.
            checkpoint: A folder to keep the state of training in. A killed fit goes on from it
                when called again with the same data and arguments, on the CPU to the same weights.
            callbacks: What looks on while the flows train, such as
                `compactflow.training.callbacks.TensorBoard`.
            engine: What runs elsewhere the fit of the first layers and the scores of held-out
                rows, flow by flow. A name, ``"ray"``, ``"spark"`` or a plugin's, a class or an
                instance. By default this process does it. The detector is the same either way.

        Returns:
            The fitted detector.

        Raises:
            ValueError: If the data or a parameter is unfit, or the checkpoint is of another run;
                the message names it.
            ImportError: If the engine's library is not installed.

        Warns:
            CalibrationWarning: If the held-out rows are too few for the boundary.
            TrainingDivergedWarning: If training ran away and was stopped.
            TrainingInterruptedWarning: If Ctrl-C ended it: the best weights so far are in use.
            compactflow.detector.screening.SuspectColumnWarning: If columns look like identifiers,
                labels or have a code for missing values among theirs.
        """
        workers = None if engine is None else find_workers(engine)
        # The copy learns the features: this detector changes only when all has succeeded.
        checked = copy.copy(self)
        taken = take_training(checked, X, y, sample_weight, groups)
        params, more = self.get_params(deep=False), taken.more
        fitted = fit_ensemble(taken.data, params, checkpoint, callbacks, workers=workers, **more)
        own = {name: value for name, value in vars(self).items() if not name.endswith("_")}
        features = {name: value for name, value in vars(checked).items() if name in _FEATURES}
        found = vars(fitted) | {"encoder": taken.encoder, "ranges": taken.ranges}
        learned = {f"{name}_": value for name, value in found.items()}
        self.__dict__ = own | features | learned
        self.calibration_.warn(self._promised())
        return self

    def save(self, path: str | os.PathLike[str], *, folder: bool = False) -> None:
        """Write a fitted detector to one file or to a folder, atomically.

        It holds weights, first layers, decision threshold, feature names, training history, the
        detector's arguments, and for each component its name, all its options and the distribution
        and version it comes from. A class given as a component is written by the name it is
        registered under. An optimiser or schedule given as a class or function is left out: it is
        no part of what was fitted.

        Args:
            path: The file or folder to make or replace.
            folder: Whether to write a folder: ``model.json``, to read, beside a safetensors file
                of weights.

        Raises:
            sklearn.exceptions.NotFittedError: If the detector is not fitted.
            ValueError: If a component was given as an instance, or as a class that has no name, or
                if a weight is not finite.
            TypeError: If an argument has a type that a file cannot hold.
            FileNotFoundError: If the folder does not exist.
        """
        check_is_fitted(self)
        write(path, as_model(self), folder=folder)
