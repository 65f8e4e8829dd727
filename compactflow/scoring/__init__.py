"""Scoring for programs that do nothing else: Arrow in, Arrow out, and no torch for ONNX models."""

from __future__ import annotations

from compactflow.scoring.arrow import ArrowScorer

__all__ = ["ArrowScorer"]
