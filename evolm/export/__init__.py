"""Export: what a user takes home from a run: predictions, scores, adapters, merged models, populations."""
