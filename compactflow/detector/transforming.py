"""Rows as latents and back, and new ones, by a fitted ensemble, in scikit-learn's conventions."""

from __future__ import annotations

from abc import ABC
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_array, check_is_fitted

from compactflow.detector.rows import take, titles_of
from compactflow.detector.screening import Ranges
from compactflow.encoding.encoder import TableEncoder
from compactflow.encoding.frames import library_of
from compactflow.flows.ensemble import Ensemble
from compactflow.flows.flow import CompactFlow
from compactflow.pulls.base import Pull

__all__ = ["EnsembleTransformer"]

Array = NDArray[np.float64]


class EnsembleTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """What encodes and decodes rows by a fitted ensemble: a subclass fits it.

    Attributes:
        ensemble_: The fitted flows.
        ranges_: The range of each column in training; ``None`` if the detector was saved by a
            version that did not keep it.
        encoder_: What makes numbers of a table's columns; ``None`` if they are numbers.
        n_features_in_: The number of columns: that of features D, if there is no encoder.

    Examples:
        `OneClassFlow` is one:

        >>> import numpy as np
        >>> from compactflow import OneClassFlow
        >>> X = np.random.default_rng(0).normal(size=(40, 2))
        >>> detector = OneClassFlow(max_steps=5, members=1, random_state=0).fit(X)
        >>> Z = detector.transform(X)
        >>> bool(np.allclose(detector.inverse_transform(Z), X, atol=1e-6))
        True
        >>> detector.sample(3, random_state=0).shape
        (3, 2)
    """

    ensemble_: Ensemble
    ranges_: Ranges | None
    encoder_: TableEncoder | None
    n_features_in_: int

    @property
    def names_(self) -> list[str]:
        """The names of what an explanation can blame: columns, or their numbers and words."""
        check_is_fitted(self)
        return titles_of(self, self.n_features_in_)

    @property
    def columns_(self) -> dict[str, str]:
        """What each column was taken for, in words."""
        check_is_fitted(self)
        if self.encoder_ is not None:
            return self.encoder_.describe()
        return dict.fromkeys(self.names_, "number")

    @property
    def flows_(self) -> list[CompactFlow]:
        """The flows of the ensemble; each is a bijection of its own."""
        check_is_fitted(self)
        return self.ensemble_.flows

    @property
    def flow_(self) -> CompactFlow:
        """The first flow of the ensemble, which encodes and decodes."""
        return self.flows_[0]

    @property
    def pull_(self) -> Pull:
        """The pull of the training."""
        check_is_fitted(self)
        return self.ensemble_.pull

    def check_rows(self, X: ArrayLike) -> Array:
        """Check that rows go with the fitted detector; their values as an array ``(N, D)``.

        Of a table, the columns that the detector was fitted on are taken, by their names. What is
        not a number comes as the encoder's features, of which D then is the number.

        Warns:
            compactflow.detector.screening.OutOfRangeWarning: If in a column most are outside the
                range of training.

        Raises:
            sklearn.exceptions.NotFittedError: If the detector is not fitted.
            ValueError: If they do not go with it; the message says why.
        """
        check_is_fitted(self)
        return take(self, X)

    def transform(self, X: ArrayLike) -> Array:
        """Encode by the first flow: the latents of data ``(N, D)``, ``(N, D)``."""
        rows = self.check_rows(X)
        return self.ensemble_.encode(rows)

    def inverse_transform(self, X: ArrayLike, *, context: Any = None) -> Any:  # noqa: ANN401
        """Decode by the first flow: the data of latents ``(N, D)``, ``(N, D)``, in data units.

        Args:
            X: The latents.
            context: A table with the columns of the context, of N rows or of one for all, if the
                detector was fitted with a context.

        Raises:
            ValueError: If a shape is wrong, or a context is lacking.
        """
        check_is_fitted(self)
        Z = check_array(X, dtype=np.float64, input_name="X")
        if Z.shape[1] != self.ensemble_.dim:
            raise ValueError(
                f"X has {Z.shape[1]} latent features, but {type(self).__name__} has "
                f"{self.ensemble_.dim}"
            )
        if context is None and self.encoder_ is not None and self.encoder_.context is not None:
            raise self.encoder_.lacking()
        given, codes = self._given(context, len(Z))
        return self._as_came(self.ensemble_.decode(Z, codes), given)

    def sample(
        self,
        n_samples: int = 1,
        random_state: int | np.random.RandomState | None = None,
        *,
        inside: bool = True,
        context: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Draw new inliers, ``(n_samples, D)``, in data units.

        With ``score_by="neighbours"`` they are training rows varied among their neighbours, in the
        latents of the first flow; else its decoded latents, drawn from where training leaves them:
        ``exp(-pull)/Z`` after a push that maximises entropy, and else the latent distribution. See
        `compactflow.flows.sampling`.

        Where the detector was fitted on a table with categories, dates or gaps they come as a
        table, and so does what `inverse_transform` gives.

        Args:
            n_samples: How many.
            random_state: Seed.
            inside: Whether all are to be inside, by `predict`. A level leaves out the tails.
            context: A table with the columns of the context, of `n_samples` rows or of one for
                all; drawn as in training if not given. For detectors fitted with a context.

        Raises:
            ValueError: If the boundary leaves out nearly all of them, or the context is unfit.
        """
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        given, codes = self._given(context, int(n_samples))
        seed = int(check_random_state(random_state).randint(2**31))
        rows = self.ensemble_.sample(int(n_samples), seed, inside=inside, codes=codes)
        return self._as_came(rows, given)

    def _as_came(self, rows: Array, given: Array | None = None) -> Any:  # noqa: ANN401
        """Features ``(N, D)`` as the rows of training came: an array or a table."""
        return rows if self.encoder_ is None else self.encoder_.inverse_transform(rows, given)

    def _given(self, context: Any, rows: int) -> tuple[Array | None, Array | None]:  # noqa: ANN401
        """The codes of a context of so many rows, and what rows carry of it."""
        if context is None:
            return None, None
        if self.encoder_ is None or library_of(context) is None:
            raise ValueError(
                "context is a table, of pandas, polars or Arrow, for a detector that was fitted "
                "with columns as its context"
            )
        given, codes = self.encoder_.given(context)
        if len(given) not in (1, rows):
            raise ValueError(f"context must have one row or {rows}, got {len(given)}")
        repeat = rows if len(given) == 1 else 1
        return np.repeat(given, repeat, axis=0), np.repeat(codes, repeat, axis=0)

    @property
    def _n_features_out(self) -> int:
        return self.ensemble_.dim
