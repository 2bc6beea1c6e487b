"""Federated optimisers: one paper, one file."""
