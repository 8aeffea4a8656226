"""Founders: the first individuals of a search, from files, runs, founding populations or the task alone."""
