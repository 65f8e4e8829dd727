"""The built-ins pass the kit, and what it makes of what a check finds."""

import traceback

import pytest
import torch
from brief import SMALL
from planted import not_passed

from compactflow import testing
from compactflow.plugins.builtin import BUILTINS
from compactflow.testing.kit import _as_test
from compactflow.testing.results import SkipCheck, cases, require

CHECK = {
    "backbone": testing.check_backbone,
    "latent": testing.check_latent,
    "pull": testing.check_pull,
    "push": testing.check_push,
}
NEEDS_TWO = {"dimensions": "it needs two features"}
KNOWN = {"normflows:NSF": NEEDS_TWO, "normflows:MAF": NEEDS_TWO}
TAKE_A_CONTEXT = {"coupling", "autoregressive", "zuko:NSF", "normflows:NSF", "normflows:MAF"}


def cases_of_built_ins():
    for spec in BUILTINS:
        if spec.kind in CHECK and spec.kind != "pull" and "composition" not in spec.tags:
            yield pytest.param(spec, id=f"{spec.kind}-{spec.name}")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("spec", list(cases_of_built_ins()))
def test_built_ins_conform(spec):
    expected = KNOWN.get(spec.name)
    options = SMALL.get(spec.name)
    results = CHECK[spec.kind](spec.name, options=options, expected_failures=expected)
    assert [r.name for r in results] == testing.check_names(spec.kind)
    assert {r.name for r in not_passed(results)} == set(expected or ())
    if spec.name in TAKE_A_CONTEXT:
        skipped = {r.name for r in results if r.status == "skipped"}
        assert not {name for name in skipped if name.startswith("context-")}


@pytest.mark.parametrize("latent", [None, "gaussian"])
@pytest.mark.parametrize("name", [s.name for s in BUILTINS if s.kind == "pull"])
def test_built_in_pulls_conform(name, latent):
    assert not not_passed(testing.check_pull(name, latent=latent))


@testing.parametrize("pull", "lp", options={"p": 3.0})
def test_parametrize_makes_one_test_per_check(check):
    check()


def outcome(check, expected=None):
    (case,) = cases({"check": check}, lambda: None, expected).values()
    return case()


def test_a_skip_needs_a_reason():
    def skips(why):
        def check(make):
            raise SkipCheck(why)

        return check

    assert outcome(skips("no gauge")).status == "skipped"
    assert outcome(skips("no gauge")).message == "no gauge"
    assert outcome(skips(" ")).status == "failed"


def test_expected_failures():
    def fails(make):
        require(False, "off by 1")

    def passes(make):
        require(True, "never")

    assert outcome(fails).message == "off by 1"
    known = outcome(fails, {"check": "known"})
    assert (known.status, known.message) == ("expected failure", "known: off by 1")
    stale = outcome(passes, {"check": "known"})
    assert stale.status == "failed"
    assert "remove it" in stale.message
    with pytest.raises(ValueError, match="no-such-check"):
        outcome(passes, {"no-such-check": "known"})
    with pytest.raises(ValueError, match="why"):
        outcome(passes, {"check": ""})


def test_an_error_in_a_component_fails_the_check_and_keeps_its_traceback():
    def breaks(make):
        raise ZeroDivisionError("by zero")

    result = outcome(breaks)
    assert result.message == "ZeroDivisionError: by zero"
    with pytest.raises(AssertionError, match="check: ZeroDivisionError: by zero") as caught:
        _as_test(lambda: result)()
    cause = caught.value.__cause__
    assert isinstance(cause, ZeroDivisionError)
    assert traceback.extract_tb(cause.__traceback__)[-1].name == "breaks"


def test_a_component_that_exits_fails_the_check():
    def leaves(make):
        raise SystemExit("no licence")

    result = outcome(leaves)
    assert (result.status, result.message) == ("failed", "SystemExit: no licence")
    with pytest.raises(AssertionError, match="no licence"):
        _as_test(lambda: result)()


def test_unknown_kinds_and_names_are_refused():
    with pytest.raises(ValueError, match="kind must be"):
        testing.parametrize("prior", "cube")
    with pytest.raises(ValueError, match="no latent 'qube'"):
        testing.check_latent("qube")


def test_checks_leave_the_random_state():
    before = torch.get_rng_state()
    testing.check_pull("max-abs")
    assert torch.equal(torch.get_rng_state(), before)
