"""The kit of scores and engines: the built-ins pass, and planted faults fail their checks."""

import random
from functools import partial

import pytest
import torch
from planted import run

from compactflow import testing
from compactflow.engines.base import Engine
from compactflow.flows.scores import Score
from compactflow.plugins.builtin import BUILTINS

NAMES = [s.name for s in BUILTINS if s.kind == "score"]
OPTIONS = {"blend": {"of": ["support", "neighbours"]}, "quantile": {"of": "support"}}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_built_in_scores_conform(name):
    results = testing.check_score(name, options=OPTIONS.get(name))
    assert [result.name for result in results] == testing.check_names("score")
    assert {result.status for result in results} == {"passed"}


class Far(Score):
    """A right score, to plant faults in: the distance to the middle row."""

    def __init__(self, dim):
        super().__init__(dim)
        self.register_buffer("middle", torch.zeros(dim))

    def fit(self, flow, pull, x):
        self.middle = flow(x).mean(dim=0)

    def forward(self, flow, pull, x):
        return torch.linalg.vector_norm(flow(x) - self.middle, dim=1)


class OneColumn(Far):
    def forward(self, *args):
        return super().forward(*args)[:, None]


class NearIsFar(Far):
    def forward(self, *args):
        return -super().forward(*args)


class Squares(Far):
    def forward(self, *args):
        return super().forward(*args).pow(8)


class Ranks(Far):
    def forward(self, *args):
        values = super().forward(*args)
        return values - values.mean() if len(values) > 1 else values


class DrawsRows(Far):
    def fit(self, flow, pull, x):
        super().fit(flow, pull, x[torch.randperm(len(x))[:50]])


class AddsUp(Far):
    def fit(self, flow, pull, x):
        self.middle = self.middle + flow(x).mean(dim=0)


class FitsOnce(Far):
    def fit(self, flow, pull, x):
        if not self.middle.any():
            super().fit(flow, pull, x)


class Saturates(Far):
    def forward(self, *args):
        return super().forward(*args).tanh()


class ShiftsRows(Far):
    def forward(self, flow, pull, x):
        x += 1e-3
        return super().forward(flow, pull, x)


class AddsFlows(Far):
    def combine(self, scores):
        return scores.sum(dim=0)


class ClaimsTheSupport(Far):
    natural = True


class KeepsAList(Far):
    def fit(self, flow, pull, x):
        super().fit(flow, pull, x)
        self.scale = float(x.std())

    def forward(self, *args):
        return super().forward(*args) * getattr(self, "scale", 1.0)


SCORE_FAULTS = {
    OneColumn: "dimensions",
    NearIsFar: "ranks-outliers-last",
    Squares: "finite-far-away",
    Ranks: "rows-are-independent",
    DrawsRows: "a-fit-starts-anew",
    AddsUp: "a-fit-starts-anew",
    FitsOnce: "a-fit-starts-anew",
    Saturates: "ranks-outliers-last",
    ShiftsRows: "leaves-its-inputs-alone",
    AddsFlows: "combines-flows",
    ClaimsTheSupport: "natural-is-the-support",
    KeepsAList: "state-survives-saving",
}


class InTurn(Engine):
    """A right engine, to plant faults in: this process."""

    def run(self, function, shared, tasks):
        return map(partial(function, shared), tasks)


class Shuffles(InTurn):
    def run(self, function, shared, tasks):
        results = list(super().run(function, shared, tasks))
        random.Random(0).shuffle(results)
        return results


class KeepsTheFirst(InTurn):
    """Sends function and shared argument once for all runs."""

    def run(self, function, shared, tasks):
        self.first = getattr(self, "first", (function, shared))
        return super().run(*self.first, tasks)


class LosesFailures(InTurn):
    def run(self, function, shared, tasks):
        for task in tasks:
            try:
                yield function(shared, task)
            except ValueError:
                continue


class AsText(InTurn):
    def run(self, function, shared, tasks):
        shared = str(shared) if isinstance(shared, dict) else shared
        return super().run(function, shared, tasks)


class ScoresTheFirst(InTurn):
    def score(self, scorer, source, target):
        super().score(scorer, sorted(source.iterdir())[0], target)


class SeesLess(InTurn):
    """Drops the second half of long arrays on the way."""

    def run(self, function, shared, tasks):
        if getattr(shared, "ndim", 0) == 2:
            shared = shared[: len(shared) // 2].repeat(2, axis=0)
        return super().run(function, shared, tasks)


ENGINE_FAULTS = {
    Shuffles: "gives-results-in-order",
    KeepsTheFirst: "runs-again",
    LosesFailures: "raises-what-a-call-raises",
    AsText: "keeps-arrays",
    ScoresTheFirst: "scores-files-in-order",
    SeesLess: "fits-as-one-process-does",
}


@pytest.mark.parametrize(("fault", "name"), SCORE_FAULTS.items())
def test_faults_of_scores_are_caught_by_name(fault, name):
    assert run("score", Far, name).status == "passed"
    assert run("score", fault, name).status == "failed"


@pytest.mark.parametrize(("fault", "name"), ENGINE_FAULTS.items())
def test_faults_of_engines_are_caught_by_name(fault, name):
    assert run("engine", InTurn, name).status == "passed"
    assert run("engine", fault, name).status == "failed"


def test_each_check_has_a_planted_fault():
    whole = {"fits-saves-and-loads"}
    assert set(SCORE_FAULTS.values()) | whole == set(testing.check_names("score"))
    assert set(ENGINE_FAULTS.values()) == set(testing.check_names("engine"))
