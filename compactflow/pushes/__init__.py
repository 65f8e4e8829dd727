"""The counter-force to the pull: it spreads the data's latents over the support."""
