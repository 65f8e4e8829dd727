"""Ways to score tables that one process cannot hold or finish: each runs the one scorer."""
