import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.fills.common import own


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_totals_go_to_own_classes_until_they_are_even() -> None:
    """Each client's classes, its total, and what they become.

    10 and 10 get 80: 50 each. 2, 0 and 10 get 6: the 2 becomes 8. 2, 5 and 20 get 5: 6 and 6. One image and a total of
    9: 10. Without a total nothing changes, and without an image there is nothing to make any from.
    """
    counts = np.array([[10, 10, 0], [2, 0, 10], [2, 5, 20], [0, 1, 0], [3, 4, 5], [0, 0, 0]])
    more = own.spread(counts, np.array([80, 6, 5, 9, 0, 7]), rng())
    assert more.tolist() == [[40, 40, 0], [6, 0, 0], [4, 1, 0], [0, 9, 0], [0, 0, 0], [0, 0, 0]]


def test_no_class_is_favoured_by_what_is_left_over() -> None:
    """An odd image goes to either of two equal classes, in about half of 1,000 clients to each (5 deviations: 80)."""
    counts = np.full((1000, 2), 3)
    more = own.spread(counts, np.ones(1000, np.int64), rng())
    assert (more.sum(axis=1) == 1).all()
    assert abs(int(more[:, 0].sum()) - 500) < 80


@settings(max_examples=60)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 10**6))
def test_every_image_is_given_to_an_own_class_and_none_can_be_moved_to_a_smaller_one(
    clients: int, classes: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    counts, totals = draw.integers(0, 4, (clients, classes)) * draw.integers(0, 30), draw.integers(0, 90, clients)
    more = own.spread(counts, totals, draw)
    held = counts > 0
    assert more.sum(axis=1).tolist() == np.where(held.any(axis=1), totals, 0).tolist()
    assert (more >= 0).all()
    assert not more[~held].any()
    after = counts + more
    for client in range(clients):
        raised = after[client][more[client] > 0]
        if len(raised):
            assert raised.max() - after[client][held[client]].min() <= 1


def test_originals_by_hand() -> None:
    """Client 0 holds places 0 to 2, labels 0, 0, 1; client 1 places 3 and 4, labels 1, 2.

    3 more of label 0 are of places 0, 1, 0 again, 1 of label 1 is of place 2; 2 of label 2 are of place 4 twice.
    """
    counts, more = np.array([[2, 1, 0], [0, 1, 1]]), np.array([[3, 1, 0], [0, 0, 2]])
    chosen = own.originals(counts, more, np.array([0, 0, 1, 1, 2]))
    assert [each.tolist() for each in chosen] == [[0, 1, 0, 2], [4, 4]]
    assert [each.tolist() for each in own.originals(counts, more * 0, np.array([0, 0, 1, 1, 2]))] == [[], []]


@settings(max_examples=40)
@given(st.integers(1, 4), st.integers(0, 10**6))
def test_every_extra_image_comes_from_its_own_client_and_label(clients: int, seed: int) -> None:
    """And images of one client and label are used equally often, to one use."""
    draw = np.random.default_rng(seed)
    counts = draw.integers(0, 4, (clients, 3))
    more = np.where(counts > 0, draw.integers(0, 5, (clients, 3)), 0)
    owners = np.repeat(np.arange(clients), counts.sum(axis=1))
    labels = np.concatenate([draw.permutation(np.repeat(np.arange(3), row)) for row in counts])
    chosen = own.originals(counts, more, labels)
    for client, places in enumerate(chosen):
        assert (owners[places] == client).all()
        assert labels[places].tolist() == np.repeat(np.arange(3), more[client]).tolist()
        uses = np.bincount(places, minlength=len(labels))
        for label in range(3):
            mine = uses[(owners == client) & (labels == label)]
            assert not len(mine) or mine.max() - mine.min() <= 1
