"""In each lane and class the first images that pass are taken, whoever rendered what, when, and in which order."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.artifacts.encoded import Encoding
from pipeline.artifacts.gate import Gate, Score
from pipeline.artifacts.spec import ImageSpec
from pipeline.errors import GenerationError
from pipeline.generation.engines import Batch, Rendered
from pipeline.generation.gate import OpenGate, settled
from pipeline.generation.model import ResolvedModel
from pipeline.generation.pictures import Picture
from pipeline.generation.plan import Plan, Wanted
from pipeline.generation.pool import Pool, StoredImage, scores
from pipeline.generation.recipe import Recipe
from pipeline.generation.render import render_missing
from pipeline.generation.request import Request
from pipeline.workspace import Workspace
from tests.generation.conftest import small_recipe
from tests.generation.test_render import Paced
from tests.judges_by_rule import ByHash
from tests.synthetic import png

NAMES = ("ankle boot", "bag", "coat")
CPU = ["cpu"]
RECIPE = small_recipe()


class Drawn(Paced):
    """An engine that draws random pixels, the same for a spec each time, and notes what it drew."""

    def __init__(self, *workers: str, order: int | None = None) -> None:
        super().__init__(*(workers or ("a",)))
        self.drawn: list[ImageSpec] = []
        self.order = order
        self.stop_after: int | None = None

    def render(self, batches: Iterable[Batch]) -> Iterator[Rendered]:
        made = list(batches) if self.order is not None else batches
        if self.order is not None:
            random.Random(self.order).shuffle(made)  # type: ignore[arg-type]
        for batch in made:
            if self.stop_after is not None and len(self.drawn) >= self.stop_after:
                raise KeyboardInterrupt
            self.drawn += batch
            yield Rendered(batch, [Picture(png(spec.seed)) for spec in batch], "a")


def asked(
    missing: list[list[int]], most: int | float = 1_000, sharing: str = "own", judge: ByHash | None = None
) -> Request:
    judge = judge or ByHash(3)
    rule = Gate(judge.digest, judge.name, 0.5)
    plan = Plan(RECIPE, np.array(missing), NAMES, NAMES, sharing, rule)
    return Request(plan, ResolvedModel(RECIPE, "no model", None), OpenGate(rule, judge, most))


def passes(recipe: Recipe, lane: str, name: str, index: int) -> bool:
    """Return whether the picture that ``Drawn`` draws passes, by the rule itself."""
    spec = recipe.spec(lane, name, index)
    image = Encoding("png", 16).decode(png(spec.seed))
    return ByHash(3).label(np.asarray(image)) == NAMES.index(name)


def expected(recipe: Recipe, lane: str, name: str, count: int) -> list[int]:
    """Return the first indices that pass."""
    found, index = list[int](), 0
    while len(found) < count:
        if passes(recipe, lane, name, index):
            found.append(index)
        index += 1
    return found


def run(pool: Pool, request: Request, engine: Drawn, clients: list[int] | None = None) -> int:
    return render_missing(pool, request, CPU, clients, make=lambda *_: engine)


def chosen(pool: Pool, request: Request) -> list[Wanted]:
    return list(settled(pool, request.plan)[0].wanted())


@pytest.mark.parametrize("sharing", ["own", "common"])
def test_the_first_images_that_pass_are_taken_and_no_other_is_drawn(sharing: str) -> None:
    """Compared with the rule applied to each index from 0; drawn is what lies before the last one that passes."""
    missing = [[5, 0, 2], [3, 4, 0]]
    request, engine = asked(missing, sharing=sharing), Drawn()
    with Pool(Workspace().pool) as pool:
        count = run(pool, request, engine)
        plan, refusals = settled(pool, request.plan)
        drawn = 0
        for want in plan.wanted():
            assert list(want.indices) == expected(RECIPE, want.lane, want.class_name, len(want.indices))
            drawn += want.indices[-1] + 1
        assert count == drawn == len(engine.drawn) == len(set(engine.drawn)) == refusals.judged
        assert sum(refusals.accepted) == (14 if sharing == "own" else 11)
        for client in range(2):
            for want, label_count in zip(plan.wanted_by(client), [c for c in missing[client] if c], strict=True):
                assert list(want.indices) == expected(RECIPE, want.lane, want.class_name, label_count)
        assert run(pool, request, engine) == 0
        assert len(engine.drawn) == drawn


@pytest.mark.parametrize("way", range(4))
def test_order_workers_and_interruptions_change_nothing(tmp_path: Path, way: int) -> None:
    """Batches in another order; what was there before; runs that break off after each ninth image."""
    request = asked([[6, 1, 3], [0, 4, 4]])
    with Pool(tmp_path / "whole.sqlite") as pool:
        run(pool, request, Drawn())
        whole = chosen(pool, request)
    with Pool(tmp_path / "parts.sqlite") as pool:
        if way == 1:
            run(pool, asked([[2, 1, 1], [0, 2, 9]]), Drawn("a", "b"))
        if way == 2:
            indices = [3, 9, 14, 1]
            pool.put(RECIPE, [StoredImage(s := RECIPE.spec("0", "ankle boot", i), png(s.seed)) for i in indices])
        if way == 3:
            for _ in range(2):
                stopped = Drawn(order=3)
                stopped.stop_after = 9
                with pytest.raises(KeyboardInterrupt):
                    run(pool, request, stopped)
        run(pool, request, Drawn("a", "b", order=way))
        assert chosen(pool, request) == whole


def test_images_that_the_pool_holds_are_judged_and_not_rendered_again() -> None:
    """As after a run without a gate: the 8 first boots are there, and only what replaces refused ones is drawn."""
    request, engine = asked([[8, 0, 0]]), Drawn()
    with Pool(Workspace().pool) as pool:
        run(pool, Request(replace(request.plan, gate=None), request.model), engine)
        assert [spec.index for spec in engine.drawn] == list(range(8))
        assert scores.count(pool) == (0, 0)
        before = len(expected_below(8))
        assert run(pool, request, engine) == chosen(pool, request)[0].indices[-1] + 1 - 8 > 0
        assert len(set(engine.drawn)) == len(engine.drawn)
        assert [i for i in chosen(pool, request)[0].indices if i < 8] == expected_below(8)
        assert before < 8


def expected_below(count: int) -> list[int]:
    return [i for i in range(count) if passes(RECIPE, "0", "ankle boot", i)]


def test_two_gates_share_images_and_not_scores() -> None:
    """Another judge that answers the same draws nothing; a bound that no answer reaches refuses all."""
    first = asked([[6, 0, 0]])
    strict = OpenGate(Gate("0123", "by hash", 0.9), ByHash(3), 20)
    other = asked([[6, 0, 0]], judge=ByHash(3, digest="4567"))
    with Pool(Workspace().pool) as pool:
        engine = Drawn()
        drawn = run(pool, first, engine)
        assert run(pool, other, engine) == 0
        assert scores.count(pool) == (2 * drawn, 2)
        with pytest.raises(GenerationError, match="100 %"):
            run(pool, replace(first, plan=replace(first.plan, gate=strict.gate), gate=strict), engine)
        assert run(pool, first, engine) == 0


@pytest.mark.parametrize(
    ("most", "wanted", "bound"),
    [(0.5, 10, 10), (0.5, 0, 0), (0.0, 9, 0), (0.9, 1, 9), (0.25, 10, 3), (7, 1, 7)],
)
def test_a_share_bounds_what_is_refused_of_what_is_judged(most: int | float, wanted: int, bound: int) -> None:
    """10 of 20 are a half; 3 of 13 are less than a quarter, and 4 of 14 are more."""
    assert OpenGate(Gate("d", "n", 0.5), ByHash(3), most).most(wanted) == bound


def test_too_many_refusals_end_the_run_with_the_class_and_its_rate_and_the_next_one_resumes() -> None:
    """Of 12 coats of both clients together 6 may be refused, and the first judge never says coat: two batches are 8."""
    blind = ByHash(3)
    blind.label = lambda image: 0  # type: ignore[method-assign]
    request, engine = asked([[0, 0, 5], [0, 0, 7]], most=6, judge=blind), Drawn()
    message = (
        r"^the gate refused 8 of 8 images of class 'coat' \(100 %\), and at most 6 may be refused: judge by hash, "
        r"least_probability 0.5: choose other words .* raise generate.gate.most_refusals: .* the next run resumes$"
    )
    with Pool(Workspace().pool) as pool:
        with pytest.raises(GenerationError, match=message):
            run(pool, request, engine)
        kept = len(engine.drawn)
        assert kept < 24
        assert scores.count(pool)[0] >= 8
        with pytest.raises(GenerationError, match="8 of 8 images of class 'coat'"):
            run(pool, request, engine)
        assert len(engine.drawn) == kept
        seeing = asked([[0, 0, 5], [0, 0, 7]], judge=ByHash(3, digest="4567"))
        run(pool, seeing, engine)
        assert len(engine.drawn) - len(set(engine.drawn)) <= RECIPE.batch_size  # what was in hand when the run ended
        found = {want.lane: list(want.indices) for want in chosen(pool, seeing)}
        assert found == {lane: expected(RECIPE, lane, "coat", n) for lane, n in (("0", 5), ("1", 7))}


def test_no_refusal_is_counted_that_a_finished_run_would_not_have() -> None:
    """So the order decides nothing about errors: a bound of exactly as many refusals as there are is enough."""
    missing = [[4, 3, 0], [2, 0, 5]]
    with Pool(Workspace().pool) as pool:
        run(pool, asked(missing), Drawn())
        refused = settled(pool, asked(missing).plan)[1].refused
    assert min(refused) > 0
    for number in range(3):
        with Pool(Workspace().cache / f"{number}.sqlite") as pool:
            run(pool, asked(missing, most=max(refused)), Drawn(order=number))
        with Pool(Workspace().cache / f"again {number}.sqlite") as pool, pytest.raises(GenerationError):
            run(pool, asked(missing, most=max(refused) - 1), Drawn(order=number))


def test_one_client_alone_gets_what_all_together_get() -> None:
    request = asked([[4, 0, 0], [3, 2, 0]])
    with Pool(Workspace().pool) as pool:
        run(pool, request, Drawn(), [1])
        assert all(want.lane == "1" for want in settled(pool, request.plan, [1])[0].wanted([1]))
        alone = settled(pool, request.plan, [1])[0].wanted_by(1)
        run(pool, request, Drawn())
        assert settled(pool, request.plan)[0].wanted_by(1) == alone


def test_images_that_are_rendered_again_are_judged_again() -> None:
    request, judge = asked([[3, 0, 0]]), ByHash(3)
    with Pool(Workspace().pool) as pool:
        run(pool, request, Drawn())
        before = chosen(pool, request)
        wants = settled(pool, request.plan)[0].drawn_for(0)
        count = sum(len(want.indices) for want in wants)
        for want in wants:  # as ``render_again`` does
            specs = [RECIPE.spec(want.lane, want.class_name, index) for index in want.indices]
            pool.put(RECIPE, [StoredImage(spec, png(spec.seed)) for spec in specs])
        assert scores.count(pool) == (0, 0)
        again = replace(request, gate=OpenGate(request.plan.gate, judge, 1_000))  # type: ignore[arg-type]
        assert run(pool, again, Drawn()) == 0
        assert sum(judge.seen) == count
        assert chosen(pool, request) == before


def test_a_judge_that_returns_nonsense_is_named() -> None:
    for wrong in (np.nan, 2.0, -0.5):
        judge = ByHash(3, sure=wrong)
        with Pool(Workspace().pool) as pool, pytest.raises(GenerationError, match="no probabilities: by hash"):
            run(pool, asked([[2, 0, 0]], judge=judge), Drawn())
        assert scores_of(Workspace().pool) == 0


def scores_of(path: Path) -> int:
    with Pool(path) as pool:
        return scores.count(pool)[0]


Known = st.dictionaries(st.integers(0, 14), st.booleans())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(Known, st.integers(0, 6))
def test_a_plan_is_settled_as_far_as_scores_are_known(known: dict[int, bool], wanted: int) -> None:
    """Compared with a plain walk: an index without a score may pass, so it takes a place."""
    taken, refused, index = list[int](), list[int](), 0
    while len(taken) < wanted:
        (taken if known.get(index, True) else refused).append(index)
        index += 1
    Workspace().pool.unlink(missing_ok=True)
    with Pool(Workspace().pool) as pool:
        given_scores = [(RECIPE.spec("0", "bag", i), Score(1, 1 if ok else 2, 0.9)) for i, ok in known.items()]
        scores.put(pool, RECIPE, "0123", given_scores)
        plan, count = settled(pool, asked([[0, wanted, 0]]).plan)
        assert [list(want.indices) for want in plan.wanted()] == ([taken] if wanted else [])
        assert count.refused == (0, len(refused), 0)
        assert count.accepted == (0, sum(known.get(i, False) for i in taken), 0)
    for ending in ("", "-wal", "-shm"):
        Workspace().pool.with_name(f"pool.sqlite{ending}").unlink(missing_ok=True)
