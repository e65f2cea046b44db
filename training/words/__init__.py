"""Words for the distilled student: a small text tower and the projection to its space."""
