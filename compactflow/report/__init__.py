"""One page about a detector and a table."""
