"""A fitted detector as one graph of tensor operations, for runtimes without this package."""
