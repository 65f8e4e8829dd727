"""The command line. Commands import what they need, so that help and listings are fast."""

from __future__ import annotations

from compactflow.cli import components, experiments, models, reasons
from compactflow.cli.app import app, main

__all__ = ["app", "components", "experiments", "main", "models", "reasons"]
