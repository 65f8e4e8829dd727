"""A small fit, and a push that says nothing of what it needs."""

import numpy as np

import compactflow
from compactflow.pushes.base import Push

X = np.random.default_rng(0).normal(size=(60, 3)) * [1, 2, 3]


def build(**options):
    defaults = {"backbone_options": {"blocks": 1, "width": 4}, "max_steps": 4, "members": 1}
    return compactflow.build(**defaults | {"random_state": 0} | options)


class Undeclared(Push):
    def forward(self, backbone, pull, x, generator=None):
        return backbone(x), x.sum()
