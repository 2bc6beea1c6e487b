import hashlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pipeline.artifacts.gate import Gate
from pipeline.artifacts.spec import ImageSpec
from pipeline.generation.plan import Plan, Wanted, batches
from pipeline.generation.prompts import PromptSet
from pipeline.generation.recipe import Recipe

Int64 = NDArray[np.int64]
NAMES = ("ankle boot", "bag", "coat")
RECIPE = Recipe(
    7, "m", None, None, {}, 2, (2.0,), PromptSet(("{class}",)), "", None, 16, "png", None, "float32", 4, False
)
Missing = st.integers(1, 5).flatmap(lambda clients: arrays(np.int64, (clients, 3), elements=st.integers(0, 4)))
SOME = settings(max_examples=50)


def plan(missing: Int64 | list[list[int]], sharing: str = "own") -> Plan:
    return Plan(RECIPE, np.asarray(missing), NAMES, NAMES, sharing)


def images(wants: list[Wanted]) -> list[tuple[str, str, int]]:
    return [(want.lane, want.class_name, i) for want in wants for i in want.indices]


def test_wants_are_in_order_of_label_and_leave_out_zeros() -> None:
    own, common = plan([[0, 0, 0], [2, 0, 1]]), plan([[0, 0, 0], [2, 0, 1]], "common")
    assert own.wanted_by(0) == []
    assert own.wanted_by(1) == [Wanted("1", "ankle boot", 0, range(2)), Wanted("1", "coat", 2, range(1))]
    assert common.wanted_by(1) == [Wanted("common", "ankle boot", 0, range(2)), Wanted("common", "coat", 2, range(1))]


@SOME
@given(Missing, Missing, st.sampled_from(["own", "common"]))
def test_a_clients_part_does_not_depend_on_other_clients(one: Int64, other: Int64, sharing: str) -> None:
    other[0] = one[0]
    assert plan(one, sharing).wanted_by(0) == plan(other, sharing).wanted_by(0)
    assert plan(one, sharing).digest(0) == plan(other, sharing).digest(0)


@SOME
@given(Missing)
def test_own_lanes_are_disjoint_and_all_of_them_must_exist(missing: Int64) -> None:
    made = plan(missing)
    every = [image for client in range(len(missing)) for image in images(made.wanted_by(client))]
    assert len(set(every)) == len(every) == missing.sum()
    assert images(list(made.wanted())) == every


@SOME
@given(Missing, st.data())
def test_common_images_must_exist_up_to_the_most_that_a_client_wants(missing: Int64, data: st.DataObject) -> None:
    made = plan(missing, "common")
    clients = data.draw(st.lists(st.integers(0, len(missing) - 1), unique=True))
    for chosen in (None, clients):
        of = range(len(missing)) if chosen is None else chosen
        needed = {image for client in of for image in images(made.wanted_by(client))}
        wanted = images(list(made.wanted(chosen)))
        assert set(wanted) == needed
        assert len(wanted) == len(needed)


def test_what_some_clients_want() -> None:
    missing = [[1, 0, 0], [0, 2, 0], [3, 0, 0]]
    assert images(list(plan(missing).wanted([1]))) == [("1", "bag", 0), ("1", "bag", 1)]
    assert list(plan(missing, "common").wanted([0, 1])) == [
        Wanted("common", "ankle boot", 0, range(1)),
        Wanted("common", "bag", 1, range(2)),
    ]
    assert list(plan(missing).wanted([])) == []


def test_the_digest_covers_all_of_a_clients_part() -> None:
    made = plan([[1, 2, 0], [1, 2, 0]])
    digests = [
        made.digest(0),
        made.digest(1),
        replace(made, sharing="common").digest(0),
        replace(made, sharing="common").digest(1),
        replace(made, recipe=replace(RECIPE, steps=3)).digest(0),
        replace(made, class_names=("ankle boot", "bag", "dress")).digest(0),
        replace(made, class_names=("bag", "ankle boot", "coat")).digest(0),
        replace(made, prompt_names=("ankle boot", "handbag", "coat")).digest(0),
        plan([[1, 1, 0]]).digest(0),
        plan([[2, 1, 0]]).digest(0),
        plan([[1, 0, 2]]).digest(0),
        plan([[0, 0, 0]]).digest(0),
    ]
    assert len(set(digests)) == len(digests)
    assert made.digest(0) == plan([[1, 2, 0]]).digest(0)


@pytest.mark.parametrize("names", [NAMES, list(NAMES)])
def test_the_digest_does_not_depend_on_the_kind_of_sequence(names: tuple[str, ...]) -> None:
    made = plan([[1, 2, 0]])
    assert replace(made, class_names=names, prompt_names=names).digest(0) == made.digest(0)


def test_images_are_known_by_what_prompts_call_the_class_and_labels_stay() -> None:
    renamed = ("ankle boot", "handbag", "coat")
    for sharing, lane in (("own", "0"), ("common", "common")):
        made = replace(plan([[1, 2, 0]], sharing), prompt_names=renamed)
        assert made.wanted_by(0) == [Wanted(lane, "ankle boot", 0, range(1)), Wanted(lane, "handbag", 1, range(2))]
        assert list(made.wanted()) == made.wanted_by(0)


def test_a_name_for_prompts_changes_the_digests_of_those_who_want_the_class() -> None:
    made = plan([[1, 2, 0], [1, 0, 2]])
    renamed = replace(made, prompt_names=("ankle boot", "handbag", "coat"))
    assert renamed.digest(0) != made.digest(0)
    assert renamed.digest(1) == made.digest(1)


Refused = st.dictionaries(
    st.tuples(st.sampled_from(["0", "1", "common"]), st.sampled_from(NAMES)), st.sets(st.integers(0, 9)), max_size=6
)


@SOME
@given(Missing, Refused, st.sampled_from(["own", "common"]))
def test_a_client_gets_the_first_images_that_are_not_refused(
    missing: Int64, refused: dict[tuple[str, str], set[int]], sharing: str
) -> None:
    """Compared with a plain model: all indices that are not refused, in order, and the first so many of them."""
    made = replace(plan(missing, sharing), refused=refused)
    every: set[tuple[str, str, int]] = set()
    for client, counts in enumerate(missing.tolist()):
        lane = str(client) if sharing == "own" else "common"
        expected = [
            (lane, name, index)
            for name, number in zip(NAMES, counts, strict=True)
            for index in sorted(set(range(20)) - refused.get((lane, name), set()))[:number]
        ]
        assert images(made.wanted_by(client)) == expected
        every |= set(expected)
    wanted = images(list(made.wanted()))
    assert set(wanted) == every
    assert len(wanted) == len(every)


@SOME
@given(Missing, Refused, st.sampled_from(["own", "common"]))
def test_parameters_and_deficits_decide_the_digest_and_what_is_refused_does_not(
    missing: Int64, refused: dict[tuple[str, str], set[int]], sharing: str
) -> None:
    """So a shard is known to be as planned before anything is judged; its gate is a part of the plan."""
    before = plan(missing, sharing)
    gates = [None, Gate("a", "x", 0.5), Gate("b", "x", 0.5), Gate("a", "x", 0.25)]
    for client in range(len(missing)):
        assert replace(before, refused=refused).digest(client) == before.digest(client)
        assert len({replace(before, gate=gate).digest(client) for gate in gates}) == 4
        assert replace(before, gate=gates[1]).digest(client) == replace(before, gate=Gate("a", "y", 0.5)).digest(client)


def test_refused_images_are_replaced_by_the_next_ones() -> None:
    """Of the coats 0 to 2, the first is refused, and so is the 3 that would replace it; of the bags one unused one."""
    made = replace(plan([[0, 2, 3]]), refused={("0", "coat"): [0, 3], ("0", "bag"): {2}, ("1", "bag"): {0}})
    assert made.wanted_by(0) == [Wanted("0", "bag", 1, range(2)), Wanted("0", "coat", 2, (1, 2, 4))]
    other = replace(made, refused={("0", "coat"): [0, 4]})
    assert images(other.wanted_by(0))[2:] == [("0", "coat", 1), ("0", "coat", 2), ("0", "coat", 3)]
    assert made.ungated(0) == [Wanted("0", "bag", 1, range(2)), Wanted("0", "coat", 2, range(3))]
    assert made.drawn_for(0) == [Wanted("0", "bag", 1, range(2)), Wanted("0", "coat", 2, range(5))]


def test_digests_stay_what_they_were() -> None:
    """Shards and publications have them: SHA-256 of the recipe, client, lane, classes and counts as JSON."""
    made, recipe = plan([[0, 0, 0], [1, 2, 0]]), RECIPE.digest
    for sharing, lane in (("own", "1"), ("common", "common")):
        text = (
            f'["{recipe}", 1, "{lane}", ["ankle boot", "bag", "coat"], [[0, "ankle boot", 1], [1, "bag", 2]]]'
        ).encode()
        assert replace(made, sharing=sharing).digest(1) == hashlib.sha256(text).hexdigest()[:16]


def test_a_million_wanted_images_take_no_memory() -> None:
    (wanted,) = plan([[10**6, 0, 0]]).wanted_by(0)
    assert wanted.indices == range(10**6)


def specs_of(scales: list[float]) -> list[ImageSpec]:
    """Return one spec for each scale, told apart by the index."""
    return [replace(RECIPE.spec("0", "bag", i), guidance=scale) for i, scale in enumerate(scales)]


SCALES = st.lists(st.sampled_from([1.0, 2.0, 7.5]), max_size=40)


@SOME
@given(SCALES, st.integers(1, 7))
def test_batches_hold_every_spec_once_and_one_guidance_scale_each(scales: list[float], size: int) -> None:
    specs = specs_of(scales)
    made = list(batches(specs, size))
    assert sorted(spec.index for batch in made for spec in batch) == list(range(len(specs)))
    assert all(batch and len(batch) <= size for batch in made)
    assert all(len({spec.guidance for spec in batch}) == 1 for batch in made)


@SOME
@given(SCALES, st.integers(1, 7))
def test_only_the_last_batch_of_a_scale_is_short_and_order_is_kept(scales: list[float], size: int) -> None:
    specs = specs_of(scales)
    made = list(batches(specs, size))
    for scale in set(scales):
        of_scale = [batch for batch in made if batch[0].guidance == scale]
        assert [len(batch) for batch in of_scale[:-1]] == [size] * (len(of_scale) - 1)
        assert [spec for batch in of_scale for spec in batch] == [spec for spec in specs if spec.guidance == scale]


@SOME
@given(SCALES, st.integers(1, 7))
def test_batches_take_specs_only_as_they_fill_up(scales: list[float], size: int) -> None:
    """Whenever a full batch comes out, each other scale has less than one batch waiting."""
    taken, given_out = 0, 0

    def specs() -> Iterator[ImageSpec]:
        nonlocal taken
        for spec in specs_of(scales):
            taken += 1
            yield spec

    for batch in batches(specs(), size):
        given_out += len(batch)
        if len(batch) == size:
            assert taken - given_out <= (len(set(scales)) - 1) * (size - 1)
