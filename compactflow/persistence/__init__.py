"""A fitted detector as bytes, and back."""
