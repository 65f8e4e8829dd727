"""Scalar functions on latent space that draw the data's latents into the support."""
