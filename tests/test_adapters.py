import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

import compactflow

pytest.importorskip("pyod", reason="the adapter is for PyOD, which is not installed")

from pyod.utils.data import check_consistent_shape, evaluate_print, generate_data
from pyod.utils.utility import check_detector, score_to_label, standardizer

from compactflow.adapters import PyODDetector


def small():
    return compactflow.build(
        score_by="support",  # the default one of the adapter
        preprocessing="half-whiten",
        backbone_options={"blocks": 2},
        members=1,
        max_steps=10,
        random_state=0,
    )


@pytest.fixture(scope="module")
def data():
    X, X_new, y, y_new = generate_data(
        n_train=300, n_test=100, n_features=3, contamination=0.1, random_state=0
    )
    return X, X_new, y, y_new


@pytest.fixture(scope="module")
def detector(data):
    return PyODDetector(small(), contamination=0.1).fit(data[0])


def test_signs_and_attributes_are_pyods(detector, data):
    X, X_new, y, y_new = data
    scores = detector.decision_function(X_new)
    np.testing.assert_array_equal(scores, detector.detector_.signed_distance(X_new))
    np.testing.assert_array_equal(detector.decision_scores_, detector.decision_function(X))
    assert roc_auc_score(y_new, scores) > 0.9
    assert detector.labels_.sum() == 30
    np.testing.assert_array_equal(
        detector.labels_, score_to_label(detector.decision_scores_, outliers_fraction=0.1)
    )
    np.testing.assert_array_equal(detector.predict(X_new), scores > detector.threshold_)
    assert roc_auc_score(y, detector.labels_) > 0.9


@pytest.mark.parametrize("method", ["linear", "unify"])
def test_probabilities_and_confidence(detector, data, method):
    probability = detector.predict_proba(data[1], method=method)
    assert probability.shape == (100, 2)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    order = np.argsort(detector.decision_function(data[1]))
    assert (np.diff(probability[order, 1]) >= 0).all()
    _, confidence = detector.predict(data[1], return_confidence=True)
    assert ((confidence >= 0) & (confidence <= 1)).all()


def test_pyods_utilities_take_it(detector, data, capsys):
    X, X_new, y, y_new = data
    check_detector(detector)
    scores = detector.decision_function(X_new)
    labels = detector.predict(X_new)
    check_consistent_shape(X, y, X_new, y_new, detector.labels_, labels)
    evaluate_print("ours", y_new, scores)
    assert "ROC" in capsys.readouterr().out
    normed, _ = standardizer(detector.decision_scores_[:, None], scores[:, None])
    assert normed.mean() == pytest.approx(0, abs=1e-9)


def test_clones_and_parameters(detector):
    copy = clone(detector).set_params(detector__max_steps=7, contamination=0.2)
    assert copy.get_params()["detector__max_steps"] == 7
    assert copy.contamination == 0.2
    assert not hasattr(copy, "detector_")
    assert detector.detector.max_steps == 10


def test_bad_contamination_and_unfitted(data):
    with pytest.raises(ValueError, match="contamination"):
        PyODDetector(contamination=0.7)
    with pytest.raises(ValueError, match="not fitted"):
        PyODDetector().decision_function(data[0])


def test_works_inside_nonconform(data):
    nonconform = pytest.importorskip("nonconform", reason="nonconform is not installed")
    X, X_new, y, y_new = data
    conformal = nonconform.ConformalDetector(
        PyODDetector(small()), strategy=nonconform.Split(n_calib=0.3), seed=0
    ).fit(X[y == 0])
    p = conformal.compute_p_values(X_new)
    assert ((p > 0) & (p <= 1)).all()
    assert np.median(p[y_new == 1]) < 0.05 < np.median(p[y_new == 0])
