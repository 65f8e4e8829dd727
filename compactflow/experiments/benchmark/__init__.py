"""Detectors side by side on a folder of labelled data sets."""

from compactflow.experiments.benchmark.runner import run

__all__ = ["run"]
