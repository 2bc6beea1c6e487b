from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from pipeline.clients import deficits
from pipeline.clients.deficits import RULES, Cut, cuts, limit
from pipeline.params import DeficitsParams

Int64 = NDArray[np.int64]
Counts = arrays(np.int64, array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.integers(0, 60)).filter(
    lambda counts: counts.sum() > 0
)
SOME = settings(max_examples=60)


def settings_of(rule: str = "own-max", **others: Any) -> DeficitsParams:
    return DeficitsParams.model_validate({"rule": rule, **others})


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@SOME
@given(Counts, st.sampled_from(sorted({*RULES} - {"same-total"})), st.integers(0, 80))
def test_no_other_rule_asks_for_fewer_than_there_are(have: Int64, rule: str, images: int) -> None:
    want = RULES[rule](have, settings_of(rule, images_per_class=images), rng())
    assert want.shape == have.shape
    assert np.issubdtype(want.dtype, np.integer)
    assert (want >= have).all()


@SOME
@given(Counts)
def test_own_max_makes_every_client_uniform(have: Int64) -> None:
    want = deficits.own_max(have, settings_of(), rng())
    assert all(set(row) == {max(own)} for row, own in zip(want.tolist(), have.tolist(), strict=True))


@SOME
@given(Counts, st.floats(0, 1), st.integers(0, 200))
def test_same_total_keeps_every_client_s_size(have: Int64, ratio: float, most: int) -> None:
    """As many real images leave as others come, whatever the limits are; without any the classes are even."""
    params = settings_of("same-total", ratio=ratio, max_per_client=most)
    want, missing = deficits.deficits(have, params, 1)
    gone = deficits.surplus(have, want, missing, params, 1)
    assert gone.sum(axis=1).tolist() == missing.sum(axis=1).tolist()
    assert (gone <= np.maximum(have - want, 0)).all()
    assert (missing <= np.maximum(want - have, 0)).all()
    held = have[:, have.any(axis=0)]
    if ratio == 1 and most >= have.sum():
        even = (have + missing - gone)[:, have.any(axis=0)]
        assert (even.max(axis=1) - even.min(axis=1) <= 1).all()
        assert even.sum(axis=1).tolist() == held.sum(axis=1).tolist()


def test_same_total_by_hand() -> None:
    """Of 12, 0 and 3 images each class gets 5: 7 leave, 5 and 2 come. With half of that 3 or 4 leave and come.

    Client 1 has 3 of one class, and keeps one of them.
    """
    have = np.array([[12, 0, 3], [0, 3, 0]])
    want, missing = deficits.deficits(have, settings_of("same-total"), 1)
    assert (want.tolist(), missing.tolist()) == ([[5, 5, 5], [1, 1, 1]], [[0, 5, 2], [1, 0, 1]])
    assert deficits.surplus(have, want, missing, settings_of("same-total"), 1).tolist() == [[7, 0, 0], [0, 2, 0]]
    half = settings_of("same-total", ratio=0.5)
    want, missing = deficits.deficits(have, half, 1)
    assert missing.sum(axis=1).tolist() in ([3, 1], [4, 1])
    gone = deficits.surplus(have, want, missing, half, 1)
    assert gone.tolist() == [[missing[0].sum(), 0, 0], [0, 1, 0]]


def test_other_rules_take_nothing_away() -> None:
    have = np.array([[12, 0, 3]])
    for rule in {*RULES} - {"same-total"}:
        want, missing = deficits.deficits(have, settings_of(rule, images_per_class=1), 1)
        assert not deficits.surplus(have, want, missing, settings_of(rule), 1).any()


def test_global_mean_by_hand() -> None:
    """11 images over 2 clients and 3 classes are 1.83 a cell, so 2."""
    have = np.array([[8, 0, 1], [2, 0, 0]])
    assert deficits.global_mean(have, settings_of(), rng()).tolist() == [[8, 2, 2], [2, 2, 2]]


def test_global_mean_that_is_whole_is_not_rounded_up() -> None:
    assert deficits.global_mean(np.array([[4, 0], [0, 4]]), settings_of(), rng()).tolist() == [[4, 2], [2, 4]]


def test_global_share_by_hand() -> None:
    """All clients hold 30, 20 and 10: shares 1/2, 1/3 and 1/6.

    Client 0 has 6, 0, 0: 12 in total keep 6 at a half, so it wants 6, 4, 2. Client 1 has 24, 20, 0: 24 at a half are
    48, 20 at a third are 60, the larger, so 30, 20, 10. Client 2 has 0, 0, 10 (a sixth of 60): the same. Client 3
    has nothing and wants nothing.
    """
    have = np.array([[6, 0, 0], [24, 20, 0], [0, 0, 10], [0, 0, 0]])
    want = deficits.global_share(have, settings_of(), rng())
    assert want.tolist() == [[6, 4, 2], [30, 20, 10], [30, 20, 10], [0, 0, 0]]


@SOME
@given(Counts)
def test_global_share_is_within_one_image_of_the_global_shares(have: Int64) -> None:
    """And it is the least such: some class of the client is not raised at all."""
    want = deficits.global_share(have, settings_of(), rng())
    shares = have.sum(axis=0) / have.sum()
    for own, wanted in zip(have, want, strict=True):
        if not own.sum():
            assert not wanted.any()
            continue
        total = max(n / share for n, share in zip(own, shares, strict=True) if share)
        assert (abs(wanted - total * shares) < 1 + 1e-6).all()
        assert (wanted == own)[shares > 0].any()


def test_fixed_by_hand() -> None:
    want = deficits.fixed(np.array([[8, 0], [3, 5]]), settings_of("fixed", images_per_class=5), rng())
    assert want.tolist() == [[8, 5], [5, 5]]


def test_global_share_gives_what_is_left_over_to_no_class_for_its_place() -> None:
    """Shares 40/100 and six times 10/100; each of 40 clients has one image of the first class.

    1 at 40 % is 2.5 images, so 3: 1.2 of the first class and 0.3 of six others, for 2 more images that any two of the
    six can get. The client that holds the rest wants no more than it has. Each of the six gets about 40 x 2 / 6 = 13
    (deviation 3); by place, two would get 40 and the others none.
    """
    have = np.array([[0, 10, 10, 10, 10, 10, 10]] + [[1, 0, 0, 0, 0, 0, 0]] * 40)
    want = deficits.global_share(have, settings_of(), rng())
    assert (want[1:].sum(axis=1) == 3).all()
    assert (want[1:, 0] == 1).all()
    assert want[1:, 1:].sum(axis=0).min() >= 3


@SOME
@given(Counts, st.sampled_from(sorted(RULES)), st.integers(0, 80), st.integers(1, 3), st.data())
def test_nobody_lacks_a_class_that_no_client_has(
    have: Int64, rule: str, images: int, more: int, data: st.DataObject
) -> None:
    """Under every rule; and what clients lack of the others is the same as without such classes."""
    have = have[:, have.any(axis=0)]
    places = data.draw(st.lists(st.integers(0, have.shape[1]), min_size=more, max_size=more))
    wide = np.insert(have, places, 0, axis=1)
    held = wide.any(axis=0)
    chosen = settings_of(rule, images_per_class=images)
    want, missing = deficits.deficits(wide, chosen, 1)
    assert not want[:, ~held].any()
    assert not missing[:, ~held].any()
    alone = deficits.deficits(have, chosen, 1)
    assert np.array_equal(want[:, held], alone[0])
    assert np.array_equal(missing[:, held], alone[1])


def test_clients_without_any_image_lack_nothing() -> None:
    want, missing = deficits.deficits(np.zeros((2, 3), np.int64), settings_of("fixed", images_per_class=4), 1)
    assert not want.any()
    assert not missing.any()


def is_share(made: Int64, exact: NDArray[np.floating]) -> bool:
    """Return whether cells, and sums by client, by label and in all, are the exact shares, rounded down or up."""
    pairs = [(made, exact), *((made.sum(axis=axis), exact.sum(axis=axis)) for axis in (0, 1, None))]
    return all(
        bool((found >= np.floor(meant + 1e-6)).all() and (found <= np.ceil(meant - 1e-6)).all())
        for found, meant in pairs
    )


@settings(max_examples=30)
@given(Counts, st.floats(0, 1), st.integers(0, 99))
def test_the_ratio_scales_every_client_and_every_label_in_proportion(lacking: Int64, ratio: float, seed: int) -> None:
    made = limit(lacking, settings_of(ratio=ratio), rng(seed))
    assert abs(made.sum() - lacking.sum() * ratio) <= 0.5 + 1e-5
    assert (made <= lacking).all()
    assert is_share(made, lacking * ratio)


@settings(max_examples=30)
@given(Counts, st.floats(0.1, 1), st.none() | st.integers(0, 200), st.none() | st.integers(0, 500), st.integers(0, 9))
def test_caps_are_met_in_proportion_for_each_client_and_each_label(
    lacking: Int64, ratio: float, each: int | None, total: int | None, seed: int
) -> None:
    """The exact shares: the ratio, then every client above its cap scaled down to it, then all scaled down."""
    chosen = settings_of(ratio=ratio, max_per_client=each, max_total=total)
    exact = lacking * ratio
    for client, own in enumerate(exact):
        if each is not None and own.sum() > each:
            exact[client] = own * (each / own.sum())
    if total is not None and exact.sum() > total:
        exact = exact * (total / exact.sum())
    made = limit(lacking, chosen, rng(seed))
    assert (made <= lacking).all()
    assert is_share(made, exact)
    assert each is None or made.sum(axis=1).max() <= each
    if total is not None and abs(exact.sum() - total) < 1e-6:
        assert made.sum() == total
    assert np.array_equal(made, limit(lacking, chosen, rng(seed)))
    assert made.sum() == lacking.sum() - sum(cut.images for cut in cuts(lacking, chosen))


@SOME
@given(Counts)
def test_limits_that_cut_nothing_change_nothing(lacking: Int64) -> None:
    chosen = settings_of(max_per_client=int(lacking.sum(axis=1).max()), max_total=int(lacking.sum()))
    assert np.array_equal(limit(lacking, chosen, rng()), lacking)
    assert [cut.images for cut in cuts(lacking, chosen)] == [0, 0]
    assert cuts(lacking, settings_of()) == ()


def fifty_clients() -> Int64:
    """Return 50 clients with 20 labels each of 100: client i has 94 to 99 images of labels 2i to 2i + 19."""
    have = np.zeros((50, 100), np.int64)
    for client in range(50):
        have[client, (2 * client + np.arange(20)) % 100] = 94 + np.arange(20) % 6
    return have


def test_a_cap_for_each_client_drops_no_class() -> None:
    """Each client gets 20 images, and each of the 100 labels its share of the 1,000: near 10."""
    have = fifty_clients()
    want, missing = deficits.deficits(have, settings_of(max_per_client=20), 1)
    assert missing.sum(axis=1).tolist() == [20] * 50
    lacking = want - have
    assert is_share(missing, lacking * (20 / lacking.sum(axis=1, keepdims=True)))
    assert missing.sum(axis=0).min() >= 9
    assert missing.sum(axis=0).max() <= 11


def test_a_cap_for_all_serves_every_client_and_class() -> None:
    """300 images for 50 clients that lack about the same are 6 each, and 3 of each of the 100 labels."""
    missing = deficits.deficits(fifty_clients(), settings_of(max_total=300), 1)[1]
    assert missing.sum() == 300
    assert set(missing.sum(axis=1).tolist()) <= {5, 6, 7}
    assert set(missing.sum(axis=0).tolist()) <= {2, 3, 4}
    assert missing.max() == 1


def test_labels_that_all_clients_lack_equally_differ_by_one_at_most() -> None:
    """100 clients lack 1 of each of 100 labels; at most 7 each are 7 of every label, a ratio of 0.005 a half of each.

    By place, labels 0 to 6 would get all.
    """
    lacking = np.ones((100, 100), np.int64)
    assert limit(lacking, settings_of(max_per_client=7), rng()).sum(axis=0).tolist() == [7] * 100
    halves = limit(lacking, settings_of(ratio=0.005), rng())
    assert halves.sum() == 50
    assert max(halves.sum(axis=0).max(), halves.sum(axis=1).max()) == 1


def test_another_seed_breaks_ties_otherwise() -> None:
    have = fifty_clients()
    first, again, other = (deficits.deficits(have, settings_of(max_total=300), seed)[1] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_ratio_comes_before_the_client_cap_and_that_before_the_total() -> None:
    """16 and 8 lacking: half is 8 and 4; at most 6 a client, 6 and 4; at most 5 in all, 3 and 2."""
    lacking = np.array([[16, 0], [0, 8]])
    chosen = settings_of(ratio=0.5, max_per_client=6, max_total=5)
    assert limit(lacking, chosen, rng()).tolist() == [[3, 0], [0, 2]]
    assert cuts(lacking, chosen) == (Cut("ratio", 12), Cut("max_per_client", 2), Cut("max_total", 5))
