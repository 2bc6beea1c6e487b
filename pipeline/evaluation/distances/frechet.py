"""Fréchet distance between two normal distributions, FID with Inception's features (Heusel et al., 2017)."""

import numpy as np

from pipeline.evaluation.distances.arrays import Features, Floats, check

FEWEST = 10_000
"""Images on either side. With fewer the estimate is far too large, by an amount that depends on the model."""


def frechet(real: Features, fake: Features) -> float:
    """Return |mean - mean'|^2 + tr(C + C' - 2 (C C')^(1/2)) of ``real`` (N, D) and ``fake`` (M, D).

    Never used for one class. Raises DataError for fewer than 10,000 images on either side (arXiv 1911.07023: its bias
    depends on the model, and equal sizes do not cure that).
    """
    check(real, fake, FEWEST, "the Fréchet distance")
    (mean, root, trace), (other_mean, other_root, other_trace) = _moments(real), _moments(fake)
    # The trace of the root of C C' is the sum of the singular values of C^(1/2) C'^(1/2).
    shared = np.linalg.svd(root @ other_root, compute_uv=False).sum()
    return float(((mean - other_mean) ** 2).sum() + trace + other_trace - 2 * shared)


def _moments(features: Features) -> tuple[Floats, Floats, float]:
    """Return the mean (D,), the root of the covariance (D, D) and the covariance's trace."""
    mean = features.mean(axis=0, dtype=np.float64)
    covariance = np.atleast_2d(np.cov(features.astype(np.float64), rowvar=False))
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return mean, root, float(np.trace(covariance))
