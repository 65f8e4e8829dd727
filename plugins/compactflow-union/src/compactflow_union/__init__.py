"""A union of disjoint cubes or balls, as a latent of compactflow."""
