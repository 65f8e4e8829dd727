"""Concentric spherical shells, for rings, as a latent of compactflow."""
