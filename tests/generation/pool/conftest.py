"""A pool of two recipes for the tests of this folder."""

import pytest

from pipeline.generation.recipe import Recipe
from tests.generation.pool.contents import two_recipes


@pytest.fixture
def stocked(recipe: Recipe) -> tuple[Recipe, Recipe]:
    """The recipes of a pool that holds three images of each: of 10 days, of 2 days and of now."""
    return two_recipes(recipe)
