"""Compact latent supports, their distributions and their signed distances."""
