"""The command line. Commands import what they need, so that help and listings are fast."""

from __future__ import annotations

# Help lists the commands in the order of these imports.
# isort: off
from compactflow.cli import models
from compactflow.cli import scores
from compactflow.cli import explain
from compactflow.cli import watching
from compactflow.cli import components
from compactflow.cli import experiments
from compactflow.cli.app import app, main
# isort: on

__all__ = ["app", "components", "experiments", "main", "models", "explain", "scores", "watching"]
