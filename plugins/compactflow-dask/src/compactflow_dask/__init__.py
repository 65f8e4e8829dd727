"""Scoring by Dask, as an engine of compactflow."""
