"""The real images."""
