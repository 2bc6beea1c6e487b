"""Clients: which real images they hold, and how many of each label they lack.

Counts and labels in, counts and owners out.
"""
