"""From data to latents and back, with the first flow of an ensemble."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from compactflow.columns import names_of, select
from compactflow.flow import CompactFlow
from compactflow.flows.ensemble import Ensemble
from compactflow.pulls.base import Pull
from compactflow.screening import Ranges

__all__ = ["EncodingMixin"]

Array = NDArray[np.float64]


class EncodingMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """The two-way map of a detector between data and latent space.

    Attributes:
        ensemble_: The fitted flows. Each is a bijection of its own; here the first one serves.
        ranges_: The range of each column in training; ``None`` if the detector was saved by a
            version that did not keep it.
    """

    ensemble_: Ensemble
    ranges_: Ranges | None
    n_features_in_: int

    @property
    def flows_(self) -> list[CompactFlow]:
        """The flows of the ensemble."""
        check_is_fitted(self)
        return self.ensemble_.flows

    @property
    def flow_(self) -> CompactFlow:
        """The first flow of the ensemble."""
        return self.flows_[0]

    @property
    def pull_(self) -> Pull:
        """The pull of the training."""
        check_is_fitted(self)
        return self.ensemble_.pull

    def transform(self, X: ArrayLike) -> Array:
        """Encode: the latents of data ``(N, D)``, ``(N, D)``."""
        rows = self.check_rows(X)
        return self.ensemble_.encode(rows)

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Decode: the data of latents ``(N, D)``, ``(N, D)``, in data units."""
        check_is_fitted(self)
        Z = check_array(X, dtype=np.float64, input_name="X")
        if Z.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {Z.shape[1]} latent features, but {type(self).__name__} has "
                f"{self.n_features_in_}"
            )
        return self.ensemble_.decode(Z)

    def sample(
        self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None
    ) -> Array:
        """Draw inliers by decoding latent samples, ``(n_samples, D)``, in data units."""
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        seed = int(check_random_state(random_state).randint(2**31))
        return self.ensemble_.sample(int(n_samples), seed)

    @property
    def _n_features_out(self) -> int:
        return self.n_features_in_

    def check_rows(self, X: ArrayLike) -> Array:
        """Check that rows go with the fitted detector; their values as an array ``(N, D)``.

        Of a table, the columns that the detector was fitted on are taken, by their names.

        Warns:
            compactflow.screening.OutOfRangeWarning: If in a column most are outside the range of
                training.

        Raises:
            sklearn.exceptions.NotFittedError: If the detector is not fitted.
            ValueError: If they do not go with it; the message says why.
        """
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        rows: Array = validate_data(self, select(X, names), dtype=np.float64, reset=False)
        if self.ranges_ is not None:
            self.ranges_.watch(names_of(self, rows.shape[1])).add(rows).warn()
        return rows
