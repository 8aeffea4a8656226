"""Integrations: one module per optimizer library adapts :class:`evolm.Objective` to that library's interface."""
