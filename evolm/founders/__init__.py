"""Founders: where the first individuals of a search come from."""
