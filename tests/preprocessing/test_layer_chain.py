"""Several first layers, in a detector by a list."""

import numpy as np
import pytest
import torch

import compactflow
from compactflow import testing
from compactflow.persistence.archive import ArchiveError
from compactflow.preprocessing.chain import Chain
from compactflow.preprocessing.linear import Standardise, Whiten
from compactflow.preprocessing.marginal import Marginal

pytestmark = pytest.mark.filterwarnings(
    "ignore::compactflow.detector.calibration.CalibrationWarning", "ignore:.*searchsorted"
)

X = np.random.default_rng(0).normal(size=(60, 2)) * [1, 100]


def build(**options):
    return compactflow.build(max_steps=1, members=1, random_state=0, **options)


def test_each_layer_is_fitted_to_what_the_one_before_it_gives():
    chain = Chain(2, layers=[Marginal, Whiten])
    chain.fit(X, member=1)
    first, second = Marginal(2), Whiten(2)
    first.fit(X, member=1)
    between = first(torch.from_numpy(X))
    second.fit(between.numpy())
    torch.testing.assert_close(chain(torch.from_numpy(X)), second(between))


@pytest.mark.slow
def test_it_conforms():
    results = testing.check_preprocessing("chain", options={"layers": ["standardise", "marginal"]})
    assert {result.status for result in results} == {"passed"}


@pytest.mark.parametrize(
    "layers",
    [
        ["standardise", "marginal"],
        [Standardise, {"name": "marginal", "options": {"knots": 5}}],
    ],
)
def test_a_list_names_a_chain(layers, tmp_path):
    detector = build(preprocessing=layers).fit(X)
    chain = detector.flow_.preprocessing
    assert [type(layer) for layer in chain.layers] == [Standardise, Marginal]
    if layers[0] is Standardise:
        assert chain.layers[1].knots.shape == (2, 5)
    detector.save(tmp_path / "m")
    loaded = compactflow.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.signed_distance(X), detector.signed_distance(X))
    again = loaded.fit(X)  # as it was, from what the file says
    np.testing.assert_array_equal(again.signed_distance(X), detector.signed_distance(X))
    again.save(tmp_path / "again")


def test_what_is_no_chain_is_refused():
    with pytest.raises(ValueError, match="at least one first layer"):
        build(preprocessing=[]).fit(X)
    with pytest.raises(ValueError, match="no preprocessing 'pca'"):
        build(preprocessing=["pca"]).fit(X)
    with pytest.raises(ValueError, match="in a list give each its own"):
        build(preprocessing=["marginal"], preprocessing_options={"knots": 5})
    with pytest.raises(ValueError, match="'name' and 'options'"):
        build(preprocessing=[{"nmae": "marginal"}]).fit(X)
    with pytest.raises(ValueError, match=r"preprocessing_options do not fit Marginal: .*knot"):
        build(preprocessing=[{"name": "marginal", "options": {"knot": 5}}]).fit(X)
    with pytest.raises(TypeError, match="preprocessing_options/layers/knots = <object"):
        build(preprocessing=[{"name": "marginal", "options": {"knots": object()}}]).fit(X)


def test_a_class_without_a_name_trains_and_is_not_saved(tmp_path):
    class Own(Standardise.__mro__[1]):
        def fit(self, X, *, member=0):
            pass

    detector = build(preprocessing=[Own, "marginal"]).fit(X)
    with pytest.raises(ValueError, match=r"preprocessing was given as .*Own"):
        detector.save(tmp_path / "m")


def test_a_file_with_a_layer_that_is_not_installed_says_what_to_install(tmp_path):
    from compactflow.persistence import archive

    build(preprocessing=["standardise", "marginal"]).fit(X).save(tmp_path / "m")
    version, content = archive.read(tmp_path / "m", "model")
    layer = content["components"]["preprocessing"]["options"]["layers"][1]
    layer.update(name="bend", distribution="compactflow-bend", version="2.0")
    archive.write(tmp_path / "m", "model", version, content)
    with pytest.raises(ArchiveError, match=r"'bend' is of compactflow-bend 2.0.*pip install"):
        compactflow.load(tmp_path / "m")
