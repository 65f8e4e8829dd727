"""Dask as an engine of compactflow."""
