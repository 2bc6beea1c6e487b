from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest

from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import GenerationError, PoolError
from pipeline.generation import rates, render
from pipeline.generation.diffusion import Model
from pipeline.generation.engines import Batch, Rendered
from pipeline.generation.model import ResolvedModel
from pipeline.generation.pictures import FAINT, Picture, finish
from pipeline.generation.plan import Plan, Wanted
from pipeline.generation.pool import Pool, StoredImage
from pipeline.generation.recipe import Recipe
from pipeline.generation.render import render_again, render_missing, render_probe
from pipeline.generation.request import Request
from pipeline.workspace import Workspace

NAMES = ("bag", "coat")
CPU = ["cpu"]


def plan(resolved: ResolvedModel, missing: list[list[int]], sharing: str = "own") -> Plan:
    return Plan(resolved.recipe, np.array(missing), NAMES, NAMES, sharing)


def content(pool: Pool, made: Plan) -> list[StoredImage]:
    return [one for want in made.wanted() for one in pool.fetch(made.recipe, want)]


def picture(model: Model, spec: ImageSpec) -> Picture | None:
    """Return what the model draws of one spec by itself."""
    return finish(model.draw([spec])[0], model.recipe)


def contrasts(model: Model, specs: Sequence[ImageSpec]) -> list[int]:
    drawn = [model.draw([spec])[0] for spec in specs]
    return [int((levels.max((0, 1)).astype(int) - levels.min((0, 1))).max()) for levels in drawn]


def with_contrast(resolved: ResolvedModel, scaled: Any, levels: float, count: int) -> ResolvedModel:
    """Return a model that draws the first ``count`` bags with a contrast of this many levels in the median.

    The contrast grows in proportion to the decoder's last weights, so it is measured at a tenth of them.
    """
    faint = Model(replace(resolved, model=str(scaled(0.1))), "cpu")
    middle = float(np.median(contrasts(faint, [resolved.recipe.spec("0", "bag", i) for i in range(count)])))
    return replace(resolved, model=str(scaled(0.1 * levels / middle)))


class Watched(Pool):
    """A pool that notes how many missing images were asked for when each batch was stored."""

    asked = 0
    stored: tuple[int, ...] = ()
    breaks: BaseException | None = None
    """Raised when the second batch is stored."""

    def missing(self, recipe: Recipe, wants: Iterable[Wanted]) -> Iterator[ImageSpec]:
        for spec in super().missing(recipe, wants):
            self.asked += 1
            yield spec

    def put(self, recipe: Recipe, images: Sequence[StoredImage]) -> None:
        self.stored = (*self.stored, self.asked)
        if self.breaks is not None and len(self.stored) == 2:
            raise self.breaks
        super().put(recipe, images)


class Interrupted(Pool):
    """A pool at whose tenth missing image Ctrl-C is pressed."""

    def missing(self, recipe: Recipe, wants: Iterable[Wanted]) -> Iterator[ImageSpec]:
        for number, spec in enumerate(super().missing(recipe, wants), start=1):
            if number == 10:
                raise KeyboardInterrupt
            yield spec


class Paced:
    """An engine that draws a mark for each image; by its own clock it loads for 500 s and draws a batch a second."""

    def __init__(self, *workers: str) -> None:
        self.workers, self.now = workers, 0.0

    def monotonic(self) -> float:
        return self.now

    def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
        self.now += 500
        for number, batch in enumerate(batches):
            self.now += 1
            yield Rendered(batch, [Picture(b"mark")] * len(batch), self.workers[number % len(self.workers)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass


def test_every_wanted_image_is_drawn_from_its_spec(resolved: ResolvedModel) -> None:
    """Eleven images are three batches of 4, 4 and 3."""
    made = plan(resolved, [[5, 0], [2, 4]])
    with Pool(Workspace().pool) as pool:
        assert render_missing(pool, Request(made, resolved), CPU) == 11
        finished = content(pool, made)
    assert len({one.image for one in finished}) == 11
    model = Model(resolved, "cpu")
    for one in finished:
        assert one.spec == resolved.recipe.spec(one.spec.lane, one.spec.class_name, one.spec.index)
        assert picture(model, one.spec) == Picture(one.image, one.flags)


def test_images_of_several_guidance_scales_are_drawn_each_with_its_own(resolved: ResolvedModel) -> None:
    """Three scales in batches of 4: 13 images do not fill them evenly, and every scale's last batch is short."""
    mixed = replace(resolved, recipe=replace(resolved.recipe, guidance=(1.0, 2.0, 8.0)))
    made = plan(mixed, [[7, 6]])
    with Pool(Workspace().pool) as pool:
        assert render_missing(pool, Request(made, mixed), CPU) == 13
        finished = content(pool, made)
        assert render_missing(pool, Request(made, mixed), CPU) == 0
    assert {one.spec.guidance for one in finished} == {1.0, 2.0, 8.0}
    model = Model(mixed, "cpu")
    for one in finished:
        assert one.spec == mixed.recipe.spec(one.spec.lane, one.spec.class_name, one.spec.index)
        assert picture(model, one.spec) == Picture(one.image, one.flags)
        others = [replace(one.spec, guidance=scale) for scale in (1.0, 2.0, 8.0) if scale != one.spec.guidance]
        assert all(picture(model, other) != Picture(one.image, one.flags) for other in others)


def test_only_what_is_missing_is_rendered(resolved: ResolvedModel, capsys: pytest.CaptureFixture[str]) -> None:
    """A mark in the place of two finished images shows that they were not drawn again."""
    made = plan(resolved, [[5, 0], [2, 4]])
    marks = [StoredImage(resolved.recipe.spec("0", "bag", i), b"mark") for i in (1, 3)]
    with Pool(Workspace().pool) as pool:
        pool.put(resolved.recipe, marks)
        assert render_missing(pool, Request(made, resolved), CPU, clients=[0]) == 3
        assert pool.lacks(resolved.recipe, made.wanted_by(0)) == 0
        assert pool.lacks(resolved.recipe, made.wanted_by(1)) == 6
        assert render_missing(pool, Request(made, resolved), CPU) == 6
        images = [one.image for one in content(pool, made)]
        assert [i for i, image in enumerate(images) if image == b"mark"] == [1, 3]
        assert render_missing(pool, Request(plan(resolved, [[6, 0], [2, 4]]), resolved), CPU) == 1
        capsys.readouterr()
        assert render_missing(pool, Request(made, resolved), CPU) == 0
    assert "loading" not in capsys.readouterr().err


@pytest.mark.parametrize("guidance", [(2.0,), (1.0, 2.0)])
def test_the_bytes_do_not_depend_on_what_was_missing(
    resolved: ResolvedModel, cache: Any, guidance: tuple[float, ...]
) -> None:
    resolved = replace(resolved, recipe=replace(resolved.recipe, guidance=guidance))
    made = plan(resolved, [[4, 3]])
    with Pool(cache / "whole.sqlite") as pool:
        render_missing(pool, Request(made, resolved), CPU)
        expected = content(pool, made)
    with Pool(cache / "parts.sqlite") as pool:
        render_missing(pool, Request(plan(resolved, [[1, 2]]), resolved), CPU)
        render_missing(pool, Request(plan(resolved, [[3, 2]]), resolved), CPU)
        render_missing(pool, Request(made, resolved), CPU)
        assert content(pool, made) == expected


def test_common_images_are_rendered_once_for_all(resolved: ResolvedModel) -> None:
    made = plan(resolved, [[3, 0], [2, 1]], "common")
    with Pool(Workspace().pool) as pool:
        assert render_missing(pool, Request(made, resolved), CPU) == 4


def test_again_replaces_what_the_pool_holds(resolved: ResolvedModel) -> None:
    want = Wanted("0", "bag", 0, range(2))
    with Pool(Workspace().pool) as pool:
        pool.put(resolved.recipe, [StoredImage(resolved.recipe.spec("0", "bag", i), b"damaged") for i in range(3)])
        assert render_again(pool, [want], resolved, CPU) == 2
        images = [one.image for one in pool.fetch(resolved.recipe, replace(want, indices=range(3)))]
    assert b"damaged" not in images[:2]
    assert images[2] == b"damaged"


def test_remarks_are_stored_with_the_image(resolved: ResolvedModel, scaled: Any) -> None:
    """A decoder whose contrast is tuned so that half of the pictures span less than 32 levels."""
    fainter = with_contrast(resolved, scaled, 32, 8)
    made = plan(resolved, [[8, 0]])
    with Pool(Workspace().pool) as pool:
        render_missing(pool, Request(made, fainter), CPU)
        finished = content(pool, made)
    expected = [FAINT if levels < 32 else "" for levels in contrasts(Model(fainter, "cpu"), [o.spec for o in finished])]
    assert set(expected) == {FAINT, ""}
    assert [one.flags for one in finished] == expected


def test_unusable_images_are_drawn_again_with_another_seed(resolved: ResolvedModel, scaled: Any) -> None:
    """A decoder whose contrast is tuned so that about a fifth of the draws are flat: their range is at most 4 levels.

    What was stored is then checked against the model itself.
    """
    fainter = with_contrast(resolved, scaled, 5, 16)
    made = plan(resolved, [[16, 0]])
    with Pool(Workspace().pool) as pool:
        assert render_missing(pool, Request(made, fainter), CPU) == 16
        finished = content(pool, made)
    retries = [one.spec.retry for one in finished]
    assert 0 in retries
    assert max(retries) > 0
    model = Model(fainter, "cpu")
    for one in finished:
        assert one.spec == resolved.recipe.spec("0", "bag", one.spec.index, one.spec.retry)
        assert picture(model, one.spec) == Picture(one.image, one.flags)
        earlier = [resolved.recipe.spec("0", "bag", one.spec.index, retry) for retry in range(one.spec.retry)]
        assert all(picture(model, spec) is None for spec in earlier)


@pytest.mark.parametrize("factor", [0.0, float("nan")])
def test_images_that_stay_unusable_are_an_error(resolved: ResolvedModel, scaled: Any, factor: float) -> None:
    """One draw and three retries are four."""
    bad, made = replace(resolved, model=str(scaled(factor))), plan(resolved, [[5, 0]])
    message = "an image came out flat or not finite 4 times: prompt 'a photo of a bag', last seed"
    with Pool(Workspace().pool) as pool:
        with pytest.raises(GenerationError, match=message):
            render_missing(pool, Request(made, bad), CPU)
        assert pool.lacks(resolved.recipe, made.wanted_by(0)) == 5
        with pool.writing():
            pass


@pytest.mark.parametrize("workers", [1, 2])
def test_a_model_that_draws_nothing_usable_stops_early(resolved: ResolvedModel, scaled: Any, workers: int) -> None:
    """Of 400 images the first 4 fail for the fourth time in about their seventh batch.

    Before it come three times the retries of those 4, and what was in hand while each of these was awaited: a batch
    with one worker, which stores while it draws, and up to four with two workers, each a batch ahead. So at most 13
    batches of new images, far below 100, are ever asked for.
    """
    bad, made = replace(resolved, model=str(scaled(0.0))), plan(resolved, [[400, 0]])
    with Watched(Workspace().pool) as pool:
        with pytest.raises(GenerationError, match="an image came out flat or not finite 4 times"):
            render_missing(pool, Request(made, bad), CPU * workers)
        assert len(pool.stored) <= 4 * 5
        assert pool.asked <= 4 * 13
        assert pool.lacks(resolved.recipe, made.wanted_by(0)) == 400


def test_retries_are_drawn_before_what_is_still_to_come(resolved: ResolvedModel) -> None:
    """The fifth image of each class is unusable at first: its second draw comes within the next three batches of 4."""

    drawn: list[ImageSpec] = []

    class Picky(Paced):
        def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
            for batch in batches:
                drawn.extend(batch)
                yield Rendered(batch, [None if s.index == 4 and not s.retry else Picture(b"mark") for s in batch], "a")

    engine = Picky("a")
    made = plan(resolved, [[40, 40]])
    with Pool(Workspace().pool) as pool:
        assert render_missing(pool, Request(made, resolved), CPU, make=lambda *_: engine) == 80
        assert pool.lacks(resolved.recipe, made.wanted_by(0)) == 0
        assert [one.spec.index for one in content(pool, made) if one.spec.retry] == [4, 4]
    order = [(spec.class_name, spec.index, spec.retry) for spec in drawn]
    assert len(order) == 82
    for name in NAMES:
        assert 0 < order.index((name, 4, 1)) - order.index((name, 4, 0)) <= 3 * 4


def test_the_error_names_a_seed_that_was_drawn(resolved: ResolvedModel, scaled: Any) -> None:
    drawn = [resolved.recipe.spec("0", "bag", 0, retry).seed for retry in range(4)]
    flat = replace(resolved, model=str(scaled(0.0)))
    with Pool(Workspace().pool) as pool, pytest.raises(GenerationError) as caught:
        render_missing(pool, Request(plan(resolved, [[1, 0]]), flat), CPU)
    assert any(f"seed {seed}" in str(caught.value) for seed in drawn)


@pytest.mark.parametrize("scales", [1, 3])
def test_specs_are_made_only_as_they_are_drawn(resolved: ResolvedModel, scales: int) -> None:
    """Sixty images: while a batch of 4 is stored the next one may be drawn, and each other scale has 3 waiting.

    The last batch of each scale comes when all are known.
    """
    guidance = (1.0, 2.0, 8.0)[:scales]
    resolved = replace(resolved, recipe=replace(resolved.recipe, guidance=guidance))
    with Watched(Workspace().pool) as pool:
        assert render_missing(pool, Request(plan(resolved, [[30, 0], [10, 20]]), resolved), CPU) == 60
        assert pool.asked == 60
        assert len(pool.stored) >= 15
        for number, asked in enumerate(pool.stored[:-scales], start=1):
            assert asked <= 4 * (number + 1) + 3 * (scales - 1)


def test_an_error_of_the_pool_stops_the_run_at_once(resolved: ResolvedModel) -> None:
    """While the second batch is stored at most the third is drawn."""
    made = plan(resolved, [[40, 0]])
    with Watched(Workspace().pool) as pool:
        pool.breaks = PoolError("disk full", "here", "make room")
        with pytest.raises(PoolError, match="disk full"):
            render_missing(pool, Request(made, resolved), CPU)
        assert pool.asked <= 12
        assert pool.lacks(resolved.recipe, made.wanted_by(0)) == 36


def test_a_run_that_breaks_off_keeps_every_batch_that_was_drawn(resolved: ResolvedModel) -> None:
    made = plan(resolved, [[11, 0]])
    with Interrupted(Workspace().pool) as pool, pytest.raises(KeyboardInterrupt):
        render_missing(pool, Request(made, resolved), CPU)
    with Pool(Workspace().pool) as pool:
        assert [one.spec.index for one in pool.fetch(resolved.recipe, Wanted("0", "bag", 0, range(8)))] == list(
            range(8)
        )
        assert render_missing(pool, Request(made, resolved), CPU) == 3


@pytest.mark.parametrize(
    ("workers", "images", "expected"),
    [
        (["a"], 18, 14 / 4),  # batches of 4, 4, 4, 4, 2 at 501 to 505 s
        (["a", "b"], 22, 8 / 5 + 6 / 4),  # a: 4, 4, 4 at 501, 503, 505 s; b: 4, 4, 2 at 502, 504, 506 s
    ],
)
def test_the_rate_of_a_run_is_stored(
    resolved: ResolvedModel, monkeypatch: pytest.MonkeyPatch, workers: list[str], images: int, expected: float
) -> None:
    """The rates of the workers add up; each counts from its first batch, which includes the loading of the model."""
    engine = Paced(*workers)
    monkeypatch.setattr(render, "time", engine)
    with Pool(Workspace().pool) as pool:
        asked = Request(plan(resolved, [[images, 0]]), resolved)
        render_missing(pool, asked, CPU * len(workers), make=lambda *_: engine)
        found = rates.estimate(pool.path, resolved.recipe, CPU * len(workers))
        assert found is not None
        assert found.images_per_second == pytest.approx(expected)
        assert (found.based_on.workers, found.based_on.kind) == (len(workers), "cpu")
        assert found.based_on.images == images - 4 * len(workers)


class Timed(Paced):
    """It says how long it drew each batch, 2 seconds; without the loading, which its clock counts."""

    def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
        for one in super().render(batches):
            yield one._replace(seconds=2.0)


def test_one_full_batch_tells_a_rate_and_one_that_is_padded_none(
    resolved: ResolvedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 images in 2 seconds of drawing, whatever the loading took; 3 images are drawn as slowly as 4."""
    for images, expected in ((3, None), (4, 2.0)):
        engine = Timed("a")
        monkeypatch.setattr(render, "time", engine)
        with Pool(Workspace().pool) as pool:
            made = plan(resolved, [[0, images]] if expected else [[images, 0]])
            render_missing(pool, Request(made, resolved), CPU, make=lambda *_, engine=engine: engine)
            found = rates.estimate(pool.path, resolved.recipe, CPU)
        assert (found and found.images_per_second) == expected


def test_a_run_that_breaks_off_leaves_a_rate(resolved: ResolvedModel) -> None:
    with Interrupted(Workspace().pool) as pool, pytest.raises(KeyboardInterrupt):
        render_missing(pool, Request(plan(resolved, [[11, 0]]), resolved), CPU)
    found = rates.estimate(Workspace().pool, resolved.recipe)
    assert found is not None
    assert found.images_per_second > 0


@pytest.mark.parametrize(("workers", "compiled", "expected"), [(1, False, 4), (2, False, 8), (1, True, 8)])
def test_a_probe_renders_one_batch_on_each_device(
    resolved: ResolvedModel, workers: int, compiled: bool, expected: int
) -> None:
    """Of a compiled model two. They are in the pool, and the rate is known."""
    engine = Timed(*"ab"[:workers])
    asked = Request(
        plan(changed := replace(resolved, recipe=replace(resolved.recipe, compile=compiled)), [[20, 3]]), changed
    )
    with Pool(Workspace().pool) as pool:
        assert render_probe(pool, asked, CPU * workers, make=lambda *_: engine) == expected
        assert pool.lacks(changed.recipe, asked.plan.wanted()) == 23 - expected
        assert rates.estimate(pool.path, changed.recipe, CPU * workers) is not None


def test_a_probe_of_nothing_renders_nothing(resolved: ResolvedModel) -> None:
    with Pool(Workspace().pool) as pool:
        assert render_probe(pool, Request(plan(resolved, [[0, 0]]), resolved), CPU) == 0


def test_a_long_list_of_devices_starts_no_idle_worker(
    resolved: ResolvedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four images are one batch, so one of nine workers would do; it then renders inline."""
    with Pool(Workspace().pool) as pool:
        assert render_missing(pool, Request(plan(resolved, [[4, 0]]), resolved), CPU * 9) == 4
    assert "on cpu in float32\n" in capsys.readouterr().err
