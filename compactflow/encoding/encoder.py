"""A table of any columns in front of a detector: its features, and its cells back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compactflow.encoding.context import Context
from compactflow.encoding.frames import as_arrow, as_frame, cells_of, library_of
from compactflow.encoding.gaps import telling_gaps
from compactflow.encoding.inference import take_all
from compactflow.encoding.parts import Part
from compactflow.encoding.windows import Windows

__all__ = ["TableEncoder"]

Array = NDArray[np.float64]


@final
@dataclass(frozen=True, kw_only=True)
class TableEncoder:
    """Numbers, categories, dates, times and gaps of a table as numeric features, and back.

    A cell is first a code (see `compactflow.encoding.parts`), then one or more features. A gap is
    NaN. Where gaps depend on other columns, or on their gaps, the column has one more feature,
    which is 1 in a gap and else 0.

    Attributes:
        parts: What the columns were taken for; a column of numbers and words has two.
        masks: The indices of the parts whose gaps are a feature.
        left_out: The columns that are no features, and why.
        context: What the numbers are judged given, if anything. Its codes follow those of the
            parts.
        library: Of the table it was fitted on: ``"pandas"``, ``"polars"`` or ``"pyarrow"``.
        windows: What is put beside the rows of a time series, before they are encoded: see
            `prepare`.
        carries: Whether rows carry their context behind the features, for flows to see.

    Examples:
        >>> import pyarrow as pa
        >>> table = pa.table({"shop": ["A", "B"] * 8, "sold": [3.0, None] * 8})
        >>> encoder, codes = TableEncoder.fit(table)
        >>> X = encoder.features(codes, own=True)
        >>> encoder.describe()
        {'shop': 'category: 2 values', 'sold': 'number, gaps count'}
        >>> encoder.inverse_transform(X[:2]).to_pylist()
        [{'shop': 'A', 'sold': 3.0}, {'shop': 'B', 'sold': None}]
    """

    parts: list[Part]
    masks: list[int]
    left_out: dict[str, str]
    library: str
    context: Context | None = None
    windows: Windows | None = None
    carries: bool = False

    @classmethod
    def fit(
        cls,
        X: Any,  # noqa: ANN401
        *,
        categorical: Sequence[str] = (),
        context: Sequence[str] = (),
        silent: Sequence[str] = (),
    ) -> tuple[TableEncoder, Array]:
        """The encoder of a table of training, and the table's codes, ``(N, P)``.

        The features of these codes take ``own=True``: see `Part.features`.

        Args:
            X: The table, of pandas, polars or Arrow.
            categorical: Columns to take for categories, whatever they hold.
            context: Columns given which the others are judged.
            silent: Columns whose gaps tell nothing.

        Raises:
            ValueError: If a column cannot be a feature, or there is none left.
        """
        table = as_arrow(X)
        parts, given, left_out = take_all(table, categorical=categorical, context=context)
        bare = cls(parts=parts, masks=[], left_out=left_out, library=library_of(X) or "pyarrow")
        codes = bare.codes(table)
        telling = telling_gaps([part.features(c) for part, c in zip(parts, codes.T, strict=True)])
        # Between numbers and words, the words tell where there is no number.
        words = [getattr(part, "words", False) or part.name in silent for part in parts]
        masks = [p for p in telling if not words[p]]
        encoder = cls(parts=parts, masks=masks, left_out=left_out, library=bare.library)
        if not given:
            return encoder, codes
        known = np.column_stack([part.codes(cells_of(table, part.name)) for part in given])
        fitted, _ = Context.fit(given, known, encoder.features(codes)[:, encoder.numbers])
        return replace(encoder, context=fitted, carries=True), np.column_stack([codes, known])

    @property
    def columns(self) -> list[str]:
        """The names of the columns of a table that it takes."""
        return self._encoded if self.windows is None else list(self.windows.columns)

    @property
    def numbers(self) -> list[int]:
        """The features that are numbers."""
        pairs = zip(self.parts, self.groups, strict=True)
        return [group[0] for part, group in pairs if part.kind == "number"]

    @property
    def titles(self) -> list[str]:
        """The names of the parts."""
        return [part.title for part in self.parts]

    @property
    def groups(self) -> list[list[int]]:
        """The indices of the features of each part."""
        probe = np.zeros(1)
        widths = [part.features(probe).shape[1] for part in self.parts]
        widths = [width + (p in self.masks) for p, width in enumerate(widths)]
        ends = np.cumsum(widths)
        return [list(range(end - w, end)) for end, w in zip(ends, widths, strict=True)]

    @property
    def leaps(self) -> list[int]:
        """The features which have nothing between two values, or change with others."""
        pairs = zip(self.parts, self.groups, strict=True)
        return [j for part, group in pairs if len(group) > 1 or part.whole for j in group]

    @property
    def dim(self) -> int:
        """The number of features D."""
        return self.groups[-1][-1] + 1

    def describe(self) -> dict[str, str]:
        """What each column was taken for."""
        said: dict[str, str] = {}
        for p, part in enumerate(self.parts):
            text = part.describe() + ", gaps count" * (p in self.masks)
            said[part.name] = f"{said[part.name]}; {text}" if part.name in said else text
        said |= {part.name: f"context: {part.describe()}" for part in self._all[len(self.parts) :]}
        if self.windows is not None:
            said = self.windows.describe(said)
        return said | {name: f"left out: {why}" for name, why in self.left_out.items()}

    def transform(self, X: Any) -> Array:  # noqa: ANN401
        """The features of new rows, ``(N, D)``, with NaN in gaps, and what they carry behind them.

        Raises:
            ValueError: If a column is missing, or a cell is of another kind than in training.
        """
        return self.features(self.codes(self.prepare(as_arrow(X))))

    def prepare(self, table: pa.Table) -> pa.Table:
        """A table as it is encoded: with what came before each row, if that is seen."""
        return table if self.windows is None else self.windows(table)

    def inverse_transform(self, features: Array, given: Array | None = None) -> Any:  # noqa: ANN401
        """The table that features ``(N, D)`` are of, or near to.

        Args:
            features: The features, with what rows carry behind them, if they do.
            given: The codes of their context, ``(N, C)``; those that they carry if not given.

        Raises:
            ValueError: If they need a context, and have none.
        """
        codes = self.restore(features, given)
        cells = self.cells(codes)
        for p, part in enumerate(self.parts):
            if part.kind == "category" and part.words:  # type: ignore[attr-defined]
                word = np.array(cells[p].to_pylist(), dtype=object)
                numbers = [*map(str, cells[p - 1].to_pylist())]
                cells[p - 1] = pa.array(np.where(codes[:, p] == 0, numbers, word), pa.string())
        if self.context is not None:
            given = self._given(features, given)
            pairs = zip(self.context.parts, given.T, strict=True)
            cells += [part.cells(column) for part, column in pairs]
        names = [part.name for part in self._all]
        whole = dict(zip(reversed(names), reversed(cells), strict=True))
        return as_frame(pa.table({name: whole[name] for name in self._encoded}), self.library)

    def given(self, X: Any) -> tuple[Array, Array]:  # noqa: ANN401
        """The codes of a table's context, ``(N, C)``, and what rows carry of it, ``(N, P)``.

        Raises:
            ValueError: If the encoder has no context that rows carry, or a column is missing.
        """
        if self.context is None or not self.carries:
            raise ValueError(
                "context: the detector was fitted without one, or by a version that "
                "draws no samples given one"
            )
        codes = self._codes(as_arrow(X), self.context.parts)
        return codes, self.context.carried(codes)

    def codes(self, table: pa.Table) -> Array:
        """The codes of a table's cells, ``(N, P)``, and behind them those of the context."""
        return self._codes(table, self._all)

    def cells(self, codes: Array) -> list[pa.Array]:
        """The cells of codes ``(N, P)``, part by part."""
        return [part.cells(column) for part, column in zip(self.parts, codes.T, strict=False)]

    @property
    def categories(self) -> list[int]:
        """Of what rows carry behind the features: see `Context.categories`."""
        return self.context.categories if self.context and self.carries else []

    def features(self, codes: Array, *, own: bool = False) -> Array:
        """The features of codes ``(N, P)``, ``(N, D)``: see `Part.features`.

        Behind them is the context that they carry, if they do: see `Context.carried`.
        """
        blocks = []
        for p, (part, column) in enumerate(zip(self.parts, codes.T, strict=False)):
            blocks.append(part.features(column, own=own))
            if p in self.masks:
                blocks.append(np.isnan(column)[:, None])
        features = np.column_stack(blocks).astype(np.float64)
        if self.context is not None:
            given, values = codes[:, len(self.parts) :], features[:, self.numbers]
            features[:, self.numbers] = (
                Context.fit(self.context.parts, given, values)[1]
                if own
                else self.context.forward(given, values)
            )
            if self.carries:
                return np.column_stack([features, self.context.carried(given)])
        return features

    def amounts(self, codes: Array) -> Array:
        """Of codes ``(N, P)`` those that have a range; 0 for the others. A date is its year."""
        pairs = zip(self.parts, codes.T, strict=False)
        return np.column_stack([part.amounts(column) for part, column in pairs])

    def restore(self, features: Array, given: Array | None = None) -> Array:
        """The codes of features ``(N, D)``, ``(N, P)``, given the context's, ``(N, C)``."""
        if self.context is not None:
            given, features = self._given(features, given), features.copy()
            features[:, self.numbers] = self.context.inverse(given, features[:, self.numbers])
        codes = []
        for p, (part, group) in enumerate(zip(self.parts, self.groups, strict=True)):
            masked = p in self.masks
            column = part.restore(features[:, group[: len(group) - masked]])
            codes.append(np.where(masked & (features[:, group[-1]] > 0.5), np.nan, column))
        return np.column_stack(codes)

    def _codes(self, table: pa.Table, parts: list[Part]) -> Array:
        missing = [part.name for part in parts if part.name not in table.column_names]
        if missing:
            raise ValueError(
                f"the table has no columns {', '.join(map(repr, dict.fromkeys(missing)))}"
            )
        return np.column_stack([part.codes(cells_of(table, part.name)) for part in parts])

    def _given(self, features: Array, given: Array | None) -> Array:
        """The codes of the context of features: those given, or those that they carry."""
        assert self.context is not None
        if given is None and self.carries and features.shape[1] > self.dim:
            given = self.context.uncarried(features[:, self.dim :])
        if given is None:
            raise self.lacking()
        return given

    def lacking(self) -> ValueError:
        """The error where rows have no context and need one."""
        names = ", ".join(repr(part.name) for part in self._all[len(self.parts) :])
        return ValueError(
            "what the detector knows is given a context, and these rows have none: give "
            f"context, a table with {names}"
        )

    @property
    def _encoded(self) -> list[str]:
        """The names of the columns that are features, or their context."""
        return list(dict.fromkeys(part.name for part in self._all))

    @property
    def _all(self) -> list[Part]:
        return self.parts if self.context is None else [*self.parts, *self.context.parts]
