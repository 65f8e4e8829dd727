"""Invertible networks: data → latent forward, latent → data by ``inverse``."""
