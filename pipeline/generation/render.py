"""Render images, batch by batch, and store them in the pool."""

import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from pipeline import ledger, progress
from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import GenerationError
from pipeline.generation import engines, rates
from pipeline.generation.engines import Engine, Rendered
from pipeline.generation.gate import Watch
from pipeline.generation.model import ResolvedModel
from pipeline.generation.plan import Wanted, batches
from pipeline.generation.pool import Pool, StoredImage
from pipeline.generation.request import Request

_RETRIES = 3
_NAMED = 8  # workers whose rates are shown one by one
_RECORD_EVERY = 10.0  # seconds between records of the rate, so that a run that is killed leaves one


MakeEngine = Callable[[ResolvedModel, list[str]], Engine]
Missing = tuple[Iterable[ImageSpec], int]
"""Specs of images that are to be drawn, and how many they are."""


def render_missing(
    pool: Pool,
    request: Request,
    devices: list[str],
    clients: Sequence[int] | None = None,
    make: MakeEngine = engines.make,
) -> int:
    """Render what the pool lacks of the images of these clients (default: all); return how many were rendered.

    With a gate, images are judged as they come, and what it refuses is replaced until as many pass as are wanted. The
    caller holds the pool's lock for writing.
    """
    recipe, gate = request.plan.recipe, request.gate
    watch = None if gate is None else Watch(pool, request.plan, gate, clients)

    def missing() -> tuple[Iterable[ImageSpec], int, int]:
        """Return specs of what the pool lacks, how many they are, and how many images it holds."""
        wanted = (request.plan if watch is None else watch.settle()).wanted
        lacking, asked = pool.lacks(recipe, wanted(clients)), sum(len(one.indices) for one in wanted(clients))
        return pool.missing(recipe, wanted(clients)), lacking, asked - lacking

    def replacements() -> Missing:
        specs, lacking, _ = missing()
        if watch is not None and lacking:
            progress.say(f"the gate refused {watch.refusals}: {lacking} more to draw in their place")
        return specs, lacking

    specs, lacking, held = missing()
    ledger.spend(images_reused=held)
    if watch is None:
        return _render(pool, specs, lacking, request.model, devices, make)
    if lacking:
        watch.ready()
    return _render(pool, specs, lacking, request.model, devices, make, watch.judge, replacements)


def render_probe(pool: Pool, request: Request, devices: list[str], make: MakeEngine = engines.make) -> int:
    """Render one batch of what the pool lacks on each device, so that a rate is known; return how many images.

    A compiled model renders two, since compiling falls into the first. The caller holds the pool's lock for writing.
    """
    recipe = request.plan.recipe
    missing = batches(pool.missing(recipe, request.plan.wanted()), recipe.batch_size)
    specs = [spec for batch in itertools.islice(missing, len(devices) * (1 + recipe.compile)) for spec in batch]
    return _render(pool, specs, len(specs), request.model, devices, make)


def render_again(pool: Pool, wanted: Sequence[Wanted], model: ResolvedModel, devices: list[str]) -> int:
    """Render images whether the pool holds them or not, and replace those that it holds; return how many."""
    specs = (model.recipe.spec(one.lane, one.class_name, index) for one in wanted for index in one.indices)
    count = sum(len(one.indices) for one in wanted)
    return _render(pool, specs, count, model, devices)


def _render(
    pool: Pool,
    specs: Iterable[ImageSpec],
    count: int,
    model: ResolvedModel,
    devices: list[str],
    make: MakeEngine = engines.make,
    judge: Callable[[list[StoredImage]], object] = len,
    more: Callable[[], Missing] = lambda: ((), 0),
) -> int:
    """Render specs and store each batch as it comes; draw unusable images again with other seeds; return how many.

    ``judge`` sees each batch when it is in the pool. ``more`` is asked for further specs after the last one, until
    there is none. Specs and pictures do not accumulate: memory does not grow with their number. Raises GenerationError
    as soon as one image has used up its retries, so that a model that draws nothing usable stops after a few batches.
    """
    if not count:
        return 0
    recipe, made = model.recipe, 0
    workers = devices[: min(count, -(-count // recipe.batch_size) + len(recipe.guidance) - 1)]  # as there are batches
    progress.say(f"loading {model.model} on {', '.join(workers)} in {recipe.dtype}")
    if "turbo" in model.model.lower() and recipe.guidance[-1] > 1:
        progress.say(
            "note: turbo models are distilled to draw without guidance; generate.guidance: 0 is what they need"
        )
    with make(model, workers) as engine:
        keeper = _Keeper(pool, model, workers, judge)
        while count:
            with progress.bar("generate", count, "images") as keeper.advance:
                keeper.keep(engine.render(batches(keeper.mixed(specs), recipe.batch_size)))
                while keeper.retries:  # of the last batches, which came when no spec was left to mix them with
                    keeper.keep(engine.render(batches(keeper.mixed(()), recipe.batch_size)))
            made += count
            specs, count = more()
    return made


class _Keeper:
    """Stores what an engine yields, in a thread of its own: encoding and writing overlap the drawing of the next batch.

    At most one batch waits, so a kill loses little and an error of the pool stops the run at once.
    """

    advance: progress.Advance
    """Reports images that are stored."""

    def __init__(
        self, pool: Pool, model: ResolvedModel, workers: list[str], judge: Callable[[list[StoredImage]], object]
    ) -> None:
        self._pool, self._recipe, self._workers, self._judge = pool, model.recipe, workers, judge
        self._lone: dict[str, float] = {}
        """The rate of each worker's first batch, if it was a full one whose time is known."""
        self._recorded = float("-inf")
        """When the rate was recorded last."""
        self._first: dict[str, float] = {}
        """When each worker's first batch came; rates leave it out, since its time includes the loading of the model."""
        self._counts: Counter[str] = Counter()
        self.retries: deque[ImageSpec] = deque()
        """What is to be drawn in place of unusable pictures; at most those of the batches that workers hold."""

    def mixed(self, specs: Iterable[ImageSpec]) -> Iterator[ImageSpec]:
        """Yield the specs, and before each one the retries that were added meanwhile."""
        for spec in specs:
            while self.retries:
                yield self.retries.popleft()
            yield spec
        while self.retries:
            yield self.retries.popleft()

    def keep(self, rendered: Iterator[Rendered]) -> None:
        """Store every usable picture; turn the others into retries, or raise GenerationError for the last one."""
        stored: Future[tuple[int, list[ImageSpec]]] | None = None
        with ThreadPoolExecutor(1) as writer:
            for one in rendered:
                if stored is not None:
                    self._settle(stored)
                self._count(one)
                stored = writer.submit(self._store, one)
            if stored is not None:
                self._settle(stored)
        self._record()

    def _store(self, rendered: Rendered) -> tuple[int, list[ImageSpec]]:
        pairs = list(zip(rendered.batch, rendered.pictures, strict=True))
        good = [StoredImage(spec, picture.image, picture.flags) for spec, picture in pairs if picture is not None]
        self._pool.put(self._recipe, good)
        self._judge(good)
        return len(good), [spec for spec, picture in pairs if picture is None]

    def _settle(self, stored: Future[tuple[int, list[ImageSpec]]]) -> None:
        good, unusable = stored.result()
        ledger.spend(images_rendered=good)
        measured = self._rates()
        each = ", ".join(f"{name} {rate:.1f}/s" for name, rate in measured.items())
        self.advance(good, each if len(measured) <= _NAMED else f"{len(measured)} workers")
        if time.monotonic() - self._recorded >= _RECORD_EVERY:
            self._record()
        for spec in unusable:
            if spec.retry == _RETRIES:
                what = f"an image came out flat or not finite {1 + _RETRIES} times"
                where = f"prompt {spec.prompt!r}, last seed {spec.seed}"
                raise GenerationError(what, where, "try generate.dtype: float32, another scheduler, or another prompt")
            self.retries.append(self._recipe.spec(spec.lane, spec.class_name, spec.index, spec.retry + 1))

    def _count(self, rendered: Rendered) -> None:
        ledger.spend(rendered.seconds)
        name, images = rendered.worker, len(rendered.batch)
        if name in self._first:
            self._counts[name] += images
            return
        self._first[name] = time.monotonic()
        if images == self._recipe.batch_size and rendered.seconds:
            self._lone[name] = images / rendered.seconds

    def _rates(self) -> dict[str, float]:
        """Return the images per second of each worker that has finished more than one batch."""
        now = time.monotonic()
        return {
            name: self._counts[name] / max(now - at, 1e-9) for name, at in self._first.items() if self._counts[name]
        }

    def _record(self) -> None:
        """Record the rate of all workers; those of which nothing is known yet count as the mean of the others."""
        each = self._lone | self._rates()
        if each:
            rate = sum(each.values()) * len(self._workers) / len(each)
            images = sum(self._counts.values()) or len(each) * self._recipe.batch_size
            rates.record(self._pool.path, self._recipe, self._workers, rate, images)
            self._recorded = time.monotonic()
