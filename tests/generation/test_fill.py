import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import paths
from pipeline.errors import GenerationError
from pipeline.generation.diffusion import Model
from pipeline.generation.fill import again, fill
from pipeline.generation.plan import Plan, Want
from pipeline.generation.pool import Finished, Pool
from pipeline.generation.source import Source

NAMES = ("bag", "coat")
CPU = ["cpu"]


def plan(source: Source, missing: list[list[int]], sharing: str = "own") -> Plan:
    return Plan(source.recipe, np.array(missing), NAMES, sharing)


def content(pool: Pool, made: Plan) -> list[Finished]:
    return [one for want in made.distinct() for one in pool.fetch(made.recipe, want)]


def test_every_wanted_image_is_drawn_from_its_spec(source: Source) -> None:
    """Eleven images are three batches of 4, 4 and 3."""
    made = plan(source, [[5, 0], [2, 4]])
    with Pool(paths.pool()) as pool:
        assert fill(pool, made, source, CPU) == 11
        finished = content(pool, made)
        assert pool.rate(source.recipe) is not None
    assert len({one.image for one in finished}) == 11
    model = Model(source, "cpu")
    for one in finished:
        assert one.spec == source.recipe.spec(one.spec.lane, one.spec.class_name, one.spec.index)
        assert model.render([one.spec]) == [one.image]


def test_only_what_is_missing_is_rendered(source: Source, capsys: pytest.CaptureFixture[str]) -> None:
    """A mark in the place of two finished images shows that they were not drawn again."""
    made = plan(source, [[5, 0], [2, 4]])
    marks = [Finished(source.recipe.spec("0", "bag", i), b"mark") for i in (1, 3)]
    with Pool(paths.pool()) as pool:
        pool.put(source.recipe, marks)
        assert fill(pool, made, source, CPU, clients=[0]) == 3
        assert pool.held(source.recipe, Want("1", "bag", 0, 2)) == 0
        assert fill(pool, made, source, CPU) == 6
        images = [one.image for one in content(pool, made)]
        assert [i for i, image in enumerate(images) if image == b"mark"] == [1, 3]
        assert fill(pool, plan(source, [[6, 0], [2, 4]]), source, CPU) == 1
        capsys.readouterr()
        assert fill(pool, made, source, CPU) == 0
    assert "loading" not in capsys.readouterr().err


def test_the_bytes_do_not_depend_on_what_was_missing(source: Source, cache: Any) -> None:
    made = plan(source, [[4, 3]])
    with Pool(cache / "whole.sqlite") as pool:
        fill(pool, made, source, CPU)
        expected = content(pool, made)
    with Pool(cache / "parts.sqlite") as pool:
        fill(pool, plan(source, [[1, 2]]), source, CPU)
        fill(pool, plan(source, [[3, 2]]), source, CPU)
        fill(pool, made, source, CPU)
        assert content(pool, made) == expected


def test_common_images_are_rendered_once_for_all(source: Source) -> None:
    made = plan(source, [[3, 0], [2, 1]], "common")
    with Pool(paths.pool()) as pool:
        assert fill(pool, made, source, CPU) == 4


def test_again_replaces_what_the_pool_holds(source: Source) -> None:
    want = Want("0", "bag", 0, 2)
    with Pool(paths.pool()) as pool:
        pool.put(source.recipe, [Finished(source.recipe.spec("0", "bag", i), b"damaged") for i in range(3)])
        assert again(pool, [want], source, CPU) == 2
        images = [one.image for one in pool.fetch(source.recipe, replace(want, count=3))]
    assert b"damaged" not in images[:2]
    assert images[2] == b"damaged"


def test_unusable_images_are_drawn_again_with_another_seed(source: Source, scaled: Any) -> None:
    """A decoder whose contrast is tuned so that half of the first draws are flat: their range is at most 4 levels.

    The range grows in proportion to the decoder's last weights, so it is measured at a tenth of them, and the weights
    are scaled so that the median is 4.5 levels. What was stored is then checked against the model itself.
    """

    def contrast(image: bytes | None) -> int:
        assert image is not None
        levels = np.asarray(Image.open(io.BytesIO(image)))
        return int(levels.max()) - int(levels.min())

    faint = Model(replace(source, model=str(scaled(0.1))), "cpu")
    specs = [source.recipe.spec("0", "bag", i) for i in range(8)]
    middle = float(np.median([contrast(image) for i in (0, 4) for image in faint.render(specs[i : i + 4])]))
    fainter = replace(source, model=str(scaled(0.1 * 4.5 / middle)))
    made = plan(source, [[8, 0]])
    with Pool(paths.pool()) as pool:
        assert fill(pool, made, fainter, CPU) == 8
        finished = content(pool, made)
    retries = [one.spec.retry for one in finished]
    assert 0 in retries
    assert max(retries) > 0
    model = Model(fainter, "cpu")
    for one in finished:
        assert one.spec == source.recipe.spec("0", "bag", one.spec.index, one.spec.retry)
        assert model.render([one.spec]) == [one.image]
        earlier = [source.recipe.spec("0", "bag", one.spec.index, retry) for retry in range(one.spec.retry)]
        assert not earlier or model.render(earlier) == [None] * len(earlier)


@pytest.mark.parametrize("factor", [0.0, float("nan")])
def test_images_that_stay_unusable_are_an_error(source: Source, scaled: Any, factor: float) -> None:
    """One draw and three retries are four."""
    bad, made = replace(source, model=str(scaled(factor))), plan(source, [[5, 0]])
    message = "5 images came out black or not finite 4 times: the first: prompt 'a photo of a bag', seed"
    with Pool(paths.pool()) as pool:
        with pytest.raises(GenerationError, match=message):
            fill(pool, made, bad, CPU)
        assert pool.held(source.recipe, Want("0", "bag", 0, 5)) == 0
        with pool.writing():
            pass


def test_the_error_names_a_seed_that_was_drawn(source: Source, scaled: Any) -> None:
    drawn = [source.recipe.spec("0", "bag", 0, retry).seed for retry in range(4)]
    with Pool(paths.pool()) as pool, pytest.raises(GenerationError) as caught:
        fill(pool, plan(source, [[1, 0]]), replace(source, model=str(scaled(0.0))), CPU)
    assert any(f"seed {seed}" in str(caught.value) for seed in drawn)


def test_a_long_list_of_devices_starts_no_idle_worker(source: Source, capsys: pytest.CaptureFixture[str]) -> None:
    """Four images are one batch, so one of nine workers would do; it then renders inline."""
    with Pool(paths.pool()) as pool:
        assert fill(pool, plan(source, [[4, 0]]), source, CPU * 9) == 4
    assert "on cpu in float32\n" in capsys.readouterr().err
