"""Pictures of fitted detectors. Each function draws on `ax`, made if not given, and returns it."""

from compactflow.plotting.explanations import plot_counterfactual
from compactflow.plotting.latents import plot_latent_marginal, plot_latent_pair, plot_latent_pairs
from compactflow.plotting.plane import plot_boundary, plot_decision, plot_signed_distance
from compactflow.plotting.scores import plot_calibration, plot_scores
from compactflow.plotting.training import plot_history

__all__ = [
    "plot_boundary",
    "plot_calibration",
    "plot_counterfactual",
    "plot_decision",
    "plot_history",
    "plot_latent_marginal",
    "plot_latent_pair",
    "plot_latent_pairs",
    "plot_scores",
    "plot_signed_distance",
]
