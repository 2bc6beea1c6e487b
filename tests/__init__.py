"""Tests. A package by name, since another one called tests, which torch-fidelity ships, would be found before it."""
