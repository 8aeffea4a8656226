"""Storage: what a run writes to its directory. Nothing is ever unpickled."""
