"""The scikit-learn detector: its arguments, its fit, and what it answers."""
