"""Experiments: many runs of one campaign, and tables that compare finished runs."""
