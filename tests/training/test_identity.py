import subprocess
import sys
from functools import partial
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import torch

from compactflow.latents.cube import Cube
from compactflow.pushes.stein import Stein
from compactflow.training.identity import describe


def run(source):
    """What a script of that source calls `value`."""
    names = {"__name__": "script"}
    exec(compile(dedent(source), "script", "exec"), names)
    return names["value"]


class Point:
    def __init__(self, *items):
        self.items = items


def tensor(x, grad=False):
    return torch.nn.Parameter(torch.tensor(x), requires_grad=grad)


class Hidden(Cube):
    """A latent with state that is neither a plain number nor a weight."""

    def __init__(self, dim, faces):
        super().__init__(dim)
        self.faces = faces


DIFFERENT = {
    "a body": ("def value(dim): return dim + 1", "def value(dim): return dim + 2"),
    "a call": ("def value(dim): return abs(dim)", "def value(dim): return hash(dim)"),
    "a lambda": ("value = lambda dim: dim * 2", "value = lambda dim: dim * 3"),
    "a default": ("def value(dim, width=4): pass", "def value(dim, width=8): pass"),
    "a keyword's default": ("def value(dim, *, w=4): pass", "def value(dim, *, w=8): pass"),
    "what is closed over": (
        "def outer(width):\n  return lambda dim: width\nvalue = outer(4)",
        "def outer(width):\n  return lambda dim: width\nvalue = outer(8)",
    ),
    "a global": ("W = 4\ndef value(dim): return W", "W = 8\ndef value(dim): return W"),
    "a helper": (
        "def helper(): return 4\ndef value(dim): return helper()",
        "def helper(): return 8\ndef value(dim): return helper()",
    ),
    "a function in it": (
        "def value(dim):\n  def inner(): return 4\n  return inner()",
        "def value(dim):\n  def inner(): return 8\n  return inner()",
    ),
    "a method": (
        "class value:\n  def f(self): return 4",
        "class value:\n  def f(self): return 8",
    ),
    "a property": (
        "class value:\n  @property\n  def f(self): return 4",
        "class value:\n  @property\n  def f(self): return 8",
    ),
    "a static method": (
        "class value:\n  @staticmethod\n  def f(): return 4",
        "class value:\n  @staticmethod\n  def f(): return 8",
    ),
    "a class's attribute": ("class value:\n  sizes = [4]", "class value:\n  sizes = [8]"),
    "a base class": (
        "class Base:\n  n = 4\nclass value(Base): pass",
        "class Base:\n  n = 8\nclass value(Base): pass",
    ),
    "the class of an instance": (
        "class Part:\n  def f(self): return 4\nvalue = Part()",
        "class Part:\n  def f(self): return 8\nvalue = Part()",
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_code_that_differs_is_told_apart(name):
    one, other = DIFFERENT[name]
    assert describe(run(one)) == describe(run(one))
    assert describe(run(one)) != describe(run(other))


PAIRS = {
    "numbers": (1, 1.0),
    "text": ("1", 1),
    "a list": ([1, [2]], [[1], 2]),
    "an option": ({"make": partial(pow, 2)}, {"make": partial(pow, 3)}),
    "an attribute": (Stein(sigma=0.1), Stein(sigma=0.2)),
    "attributes of attributes": (Point([Point({"a": 1})]), Point([Point({"a": 2})])),
    "weights": (tensor([1.0]), tensor([2.0])),
    "precision": (tensor([1.0]), tensor([1.0]).double()),
    "frozen weights": (tensor([1.0], grad=True), tensor([1.0])),
    "state that is not saved": (Hidden(2, [1]), Hidden(2, [2])),
    "tensors that are not saved": (Hidden(2, (tensor([1.0]),)), Hidden(2, (tensor([2.0]),))),
    "arrays": (np.arange(3), np.arange(3)[::-1]),
    "arrays of objects": (np.array([1, "a"], object), np.array([1, "b"], object)),
    "generators": (np.random.default_rng(0), np.random.default_rng(1)),
    "bfloat16": (tensor(1.0).bfloat16(), tensor(2.0).bfloat16()),
}


@pytest.mark.parametrize("name", PAIRS)
def test_values_that_differ_are_told_apart(name):
    one, other = PAIRS[name]
    assert describe(one) == describe(one)
    assert describe(one) != describe(other)


def test_equal_values_are_equal():
    def one():
        return {"a": [1, {"x", "y"}], "b": Point(Stein(), torch.zeros(2)), 3: np.float64(0.5)}

    assert describe(one()) == describe(dict(reversed(one().items())))
    assert describe(one()) == describe(one() | {3: 0.5})


def test_what_goes_round_in_a_circle_ends():
    circle = Point()
    circle.items = [circle]
    mapping = {}
    mapping["self"] = mapping
    assert describe(circle) != describe(mapping)


_SCRIPT = """
import torch
from compactflow import from_zuko
from compactflow.pushes.stein import Stein
from compactflow.training.identity import describe
import zuko

SIZES = {"a", "b", "c", "d"}

class Part:
    def make(self, dim):
        return {name: torch.zeros(dim) for name in SIZES}

def backbone(dim, widths=frozenset(SIZES)):
    return from_zuko(zuko.flows.NICE(dim)), Part().make, SIZES

torch.manual_seed(0)
print([describe(value) for value in (backbone, Part, Part(), Stein(), lambda dim: SIZES)])
print(describe(from_zuko(zuko.flows.NSF(2))))
print(describe(object()), describe(open))
"""


@pytest.mark.slow
def test_texts_are_the_same_in_any_process(capsys):
    """In this one and in one that hashes texts otherwise, so that sets have another order."""
    exec(compile(_SCRIPT, "<string>", "exec"), {"__name__": "__main__"})
    here = capsys.readouterr().out
    elsewhere = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert here == elsewhere
    assert "0x" not in here
