"""Integrations: a module per optimizer library adapts :class:`evolm.Objective` to its interface."""
