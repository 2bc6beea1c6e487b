from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from pipeline.clients import deficits
from pipeline.clients.deficits import RULES, limit
from pipeline.params import DeficitsParams

Int64 = NDArray[np.int64]
Counts = arrays(np.int64, array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.integers(0, 60)).filter(
    lambda counts: counts.sum() > 0
)
SOME = settings(max_examples=60)


def settings_of(rule: str = "own-max", **others: Any) -> DeficitsParams:
    return DeficitsParams.model_validate({"rule": rule, **others})


@SOME
@given(Counts, st.sampled_from(sorted(RULES)), st.integers(0, 80))
def test_no_rule_asks_for_fewer_than_there_are(have: Int64, rule: str, images: int) -> None:
    want = RULES[rule](have, settings_of(rule, images_per_class=images))
    assert want.shape == have.shape
    assert np.issubdtype(want.dtype, np.integer)
    assert (want >= have).all()


@SOME
@given(Counts)
def test_own_max_makes_every_client_uniform(have: Int64) -> None:
    want = deficits.own_max(have, settings_of())
    assert all(set(row) == {max(own)} for row, own in zip(want.tolist(), have.tolist(), strict=True))


def test_global_mean_by_hand() -> None:
    """11 images over 2 clients and 3 classes are 1.83 a cell, so 2."""
    have = np.array([[8, 0, 1], [2, 0, 0]])
    assert deficits.global_mean(have, settings_of()).tolist() == [[8, 2, 2], [2, 2, 2]]


def test_global_mean_that_is_whole_is_not_rounded_up() -> None:
    assert deficits.global_mean(np.array([[4, 0], [0, 4]]), settings_of()).tolist() == [[4, 2], [2, 4]]


def test_global_share_by_hand() -> None:
    """All clients hold 30, 20 and 10: shares 1/2, 1/3 and 1/6.

    Client 0 has 6, 0, 0: 12 in total keep 6 at a half, so it wants 6, 4, 2. Client 1 has 24, 20, 0: 24 at a half are
    48, 20 at a third are 60, the larger, so 30, 20, 10. Client 2 has 0, 0, 10 (a sixth of 60): the same. Client 3
    has nothing and wants nothing.
    """
    have = np.array([[6, 0, 0], [24, 20, 0], [0, 0, 10], [0, 0, 0]])
    want = deficits.global_share(have, settings_of())
    assert want.tolist() == [[6, 4, 2], [30, 20, 10], [30, 20, 10], [0, 0, 0]]


@SOME
@given(Counts)
def test_global_share_is_within_one_image_of_the_global_shares(have: Int64) -> None:
    """And it is the least such: some class of the client is not raised at all."""
    want = deficits.global_share(have, settings_of())
    shares = have.sum(axis=0) / have.sum()
    for own, wanted in zip(have, want, strict=True):
        if not own.sum():
            assert not wanted.any()
            continue
        total = max(n / share for n, share in zip(own, shares, strict=True) if share)
        assert (abs(wanted - total * shares) < 1 + 1e-6).all()
        assert (wanted == own)[shares > 0].any()


def test_fixed_by_hand() -> None:
    want = deficits.fixed(np.array([[8, 0], [3, 5]]), settings_of("fixed", images_per_class=5))
    assert want.tolist() == [[8, 5], [5, 5]]


@SOME
@given(Counts, st.floats(0, 1))
def test_ratio_scales_each_clients_total_and_no_cell_is_off_by_one(lacking: Int64, ratio: float) -> None:
    made = limit(lacking, settings_of(ratio=ratio))
    assert made.sum(axis=1).tolist() == [round(n * ratio) for n in lacking.sum(axis=1).tolist()]
    assert (made >= 0).all()
    assert (made <= lacking).all()
    assert (abs(made - lacking * ratio) < 1 + 1e-6).all()


@SOME
@given(Counts, st.integers(0, 200), st.integers(0, 500))
def test_caps_are_met_exactly_and_in_proportion(lacking: Int64, each: int, total: int) -> None:
    capped = limit(lacking, settings_of(max_per_client=each))
    assert capped.sum(axis=1).tolist() == [min(n, each) for n in lacking.sum(axis=1).tolist()]
    for cells, was in zip(capped, lacking, strict=True):
        assert (abs(cells - was * min(1, each / max(was.sum(), 1))) < 1 + 1e-6).all()
    for before, cap in ((lacking, None), (capped, each)):
        made = limit(lacking, settings_of(max_total=total, max_per_client=cap))
        assert made.sum() == min(before.sum(), total)
        assert (made >= 0).all()
        assert (made <= before).all()
        assert (abs(made - before * min(1, total / max(before.sum(), 1))) < 1 + 1e-6).all()


def test_ratio_comes_before_the_client_cap_and_that_before_the_total() -> None:
    """12 and 4 lacking: half is 6 and 2; at most 5 a client, 5 and 2; at most 4 in all, 5/7 and 2/7 of 4: 3 and 1."""
    lacking = np.array([[12, 0], [0, 4]])
    made = limit(lacking, settings_of(ratio=0.5, max_per_client=5, max_total=4))
    assert made.tolist() == [[3, 0], [0, 1]]
