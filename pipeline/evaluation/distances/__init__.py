"""Distances between two sets of images, on arrays of features (N, D): pure functions, one paper each.

They say how two sets differ, not whether images are useful. Each is read beside its floor: the same number between two
sets of real images of the same size.
"""

from pipeline.evaluation.distances.clipped import clipped_coverage, clipped_density
from pipeline.evaluation.distances.frechet import FEWEST, frechet
from pipeline.evaluation.distances.kernels import cmmd, kid, subset_size
from pipeline.evaluation.distances.sliced import sliced_wasserstein

__all__ = [
    "FEWEST",
    "clipped_coverage",
    "clipped_density",
    "cmmd",
    "frechet",
    "kid",
    "sliced_wasserstein",
    "subset_size",
]
