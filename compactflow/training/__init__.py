"""The trainer, generic over backbone, latent, pull and push, and its monitors."""
