"""A table of orders with every kind of column, ours beside peers.

``python -m benchmarks.mixed > docs/tables/mixed.csv``; seeds 0 to 2. The outliers are a shop that
is unknown, a kind of order that the shop does not have, a price that does not go with the pieces,
an hour that does not go with the kind, and many pieces. The peers see the usual encoding: one-hot
categories, hour and weekday as numbers, means in gaps.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import compactflow
from benchmarks.results import show

_SPOILED = 100


def orders(n: int, seed: int) -> pd.DataFrame:
    """Normal orders; a tenth of the prices is missing."""
    rng = np.random.default_rng(seed)
    shop = rng.choice(["Oslo", "Rome", "Bonn", "Lyon", "Graz"], n, p=[0.4, 0.3, 0.2, 0.07, 0.03])
    usual = np.where(np.isin(shop, ["Oslo", "Rome"]), "web", "desk")
    kind = np.where(rng.random(n) < 0.9, usual, "phone")
    pieces = 1 + rng.poisson(3, n)
    price = pieces * np.exp(0.2 * rng.normal(size=n)) * np.where(kind == "web", 9.0, 14.0)
    hour = np.where(kind == "desk", rng.normal(13, 2, n), rng.normal(20, 2, n)) % 24
    hours = pd.to_timedelta(24 * rng.integers(0, 300, n) + hour, "h")
    price[rng.random(n) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "shop": shop,
            "kind": kind,
            "pieces": pieces,
            "price": price,
            "when": (pd.Timestamp("2024-01-01") + hours).round("min"),
        }
    )


def spoil(table: pd.DataFrame, seed: int) -> NDArray[np.bool_]:
    """Make outliers of some rows, in place; which, ``(N,)``."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(table), _SPOILED, replace=False)
    for i, row in enumerate(rows):
        match i % 5:
            case 0:
                table.loc[row, "shop"] = "Paris"
            case 1:
                table.loc[row, "kind"] = "desk" if table.kind[row] == "web" else "web"
            case 2:
                table.loc[row, "price"] = table.pieces[row] * rng.choice([2.0, 60.0])
            case 3:
                table.loc[row, "when"] = table.when[row] + pd.Timedelta("11h")
            case _:
                table.loc[row, "pieces"] = 20
    outlier: NDArray[np.bool_] = np.isin(np.arange(len(table)), rows)
    return outlier


def main() -> None:
    """Measure and print the AUROC of each."""
    warnings.simplefilter("ignore")
    train, new = orders(1500, 0), orders(1500, 1)
    outlier = spoil(new, 2)
    detector = compactflow.build(random_state=0).fit(train)
    distance = detector.signed_distance(new)
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    encode = make_column_transformer(
        (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            make_column_selector(dtype_include=object),
        ),
        (numbers, make_column_selector(dtype_include=np.number)),
    ).fit(_usual(train))
    known, asked = (encode.transform(_usual(rows)) for rows in (train, new))
    forest = IsolationForest(random_state=0).fit(known)
    neighbours = NearestNeighbors(n_neighbors=5).fit(known).kneighbors(asked)[0].mean(axis=1)
    scores = {
        "compactflow": distance,
        "KNN": neighbours,
        "IForest": -forest.score_samples(asked),
    }
    outside = float((distance[~outlier] > 0).mean())
    show(
        [
            {
                "detector": name,
                "auroc": float(roc_auc_score(outlier, score)),
                "inliers outside": outside if score is distance else None,
            }
            for name, score in scores.items()
        ]
    )


def _usual(table: pd.DataFrame) -> pd.DataFrame:
    when = table.when.dt
    return table.assign(hour=when.hour, weekday=when.weekday).drop(columns="when")


if __name__ == "__main__":
    main()
