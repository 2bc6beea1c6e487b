from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.clients.owners import Owners
from pipeline.clients.partition import SCHEMES, partition
from pipeline.errors import ParameterError
from pipeline.params import PartitionParams

Int64 = NDArray[np.int64]
SOME = settings(max_examples=40)


def settings_of(scheme: str, clients: int, **others: Any) -> PartitionParams:
    return PartitionParams.model_validate({"scheme": scheme, "clients": clients, "min_size": 0, **others})


def counts(labels: Int64, clients: int, classes: int) -> Any:
    """Return a function from (rows, owners) to the images of each client and label."""

    def count(rows: Int64, owners: Int64) -> Int64:
        table = np.zeros((clients, classes), np.int64)
        np.add.at(table, (owners, labels[rows]), 1)
        return table

    return count


@st.composite
def labelled(draw: st.DrawFn) -> tuple[Int64, int]:
    """Labels of up to 200 images and the number of classes; a class may have no image."""
    classes = draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    return rng.integers(0, classes, draw(st.integers(60, 200))), classes


@SOME
@given(labelled(), st.sampled_from(sorted(SCHEMES)), st.integers(1, 9), st.integers(0, 99), st.data())
def test_every_scheme_gives_every_image_to_one_client(
    labelled: tuple[Int64, int], scheme: str, clients: int, seed: int, data: st.DataObject
) -> None:
    labels, classes = labelled
    present = len(set(labels.tolist()))
    k = data.draw(st.integers(-(-present // clients), present))
    chosen = settings_of(scheme, clients, labels_per_client=k, alpha=data.draw(st.floats(0.001, 50)))
    rows, owners = partition(labels, classes, chosen, seed)
    assert rows.tolist() == list(range(len(labels)))
    assert len(owners) == len(labels)
    assert owners.min() >= 0
    assert owners.max() < clients
    again = partition(labels, classes, chosen, seed)
    assert np.array_equal(rows, again[0])
    assert np.array_equal(owners, again[1])


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_another_seed_gives_another_partition(scheme: str) -> None:
    labels = np.arange(300) % 5
    chosen = settings_of(scheme, 6, alpha=1.0)
    first, other = (partition(labels, 5, chosen, seed)[1] for seed in (1, 2))
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_a_seed_of_the_partitions_own_replaces_the_root_seed(scheme: str) -> None:
    """In the choice of images as well as in who holds them."""
    labels = np.arange(300) % 5
    chosen = settings_of(scheme, 6, alpha=1.0, max_images=200)
    expected = partition(labels, 5, chosen, 3)
    for root in (1, 2):
        found = partition(labels, 5, chosen.model_copy(update={"seed": 3}), root)
        assert all(map(np.array_equal, found, expected))


@SOME
@given(st.integers(1, 8), st.integers(1, 9), st.integers(0, 99), st.data())
def test_labels_gives_exactly_k_labels_and_even_parts(
    classes: int, clients: int, seed: int, data: st.DataObject
) -> None:
    """Also where clients are fewer than classes; a class's parts differ by one image at most."""
    k = data.draw(st.integers(-(-classes // clients), classes))
    labels = np.random.default_rng(seed).permutation(np.arange(classes * 30) % classes)
    rows, owners = partition(labels, classes, settings_of("labels", clients, labels_per_client=k), seed)
    table = counts(labels, clients, classes)(rows, owners)
    assert (table > 0).sum(axis=1).tolist() == [k] * clients
    assert table.sum(axis=0).tolist() == [30] * classes
    for column in table.T:
        held = column[column > 0]
        assert held.max() - held.min() <= 1
    if clients >= classes:
        assert all(table[client, client % classes] for client in range(clients))


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_a_class_without_images_changes_nothing(scheme: str) -> None:
    """With EMNIST's class "N/A" before the others, and one after them: who holds which image stays the same."""
    labels = np.arange(300) % 5
    chosen = settings_of(scheme, 6, alpha=1.0, max_images=200)
    expected = partition(labels, 5, chosen, 3)
    assert all(map(np.array_equal, partition(labels + 1, 7, chosen, 3), expected))


def test_labels_deals_out_only_classes_that_have_images() -> None:
    """Classes 1, 3 and 4 of 6 have images: each of four clients holds two of them, and no more than these exist."""
    labels = np.array([1, 3, 4])[np.arange(90) % 3]
    rows, owners = partition(labels, 6, settings_of("labels", 4, labels_per_client=2), 1)
    assert (counts(labels, 4, 6)(rows, owners) > 0).sum(axis=1).tolist() == [2] * 4
    with pytest.raises(ParameterError, match="4 of 3 classes for 4 clients"):
        partition(labels, 6, settings_of("labels", 4, labels_per_client=4), 1)


@pytest.mark.parametrize(("k", "clients"), [(4, 2), (1, 2)])
def test_labels_refuses_what_would_lose_images_or_cannot_be(k: int, clients: int) -> None:
    """Three classes: no client can have 4 of them, and 2 clients with 1 each leave one out. 2 to 3 would do."""
    with pytest.raises(ParameterError, match="labels_per_client: choose labels_per_client between 2 and 3"):
        partition(np.arange(90) % 3, 3, settings_of("labels", clients, labels_per_client=k), 1)


@SOME
@given(labelled(), st.integers(1, 9), st.integers(0, 99))
def test_iid_sizes_differ_by_one_at_most(labelled: tuple[Int64, int], clients: int, seed: int) -> None:
    labels, classes = labelled
    _, owners = partition(labels, classes, settings_of("iid", clients), seed)
    sizes = np.bincount(owners, minlength=clients)
    assert sizes.max() - sizes.min() <= 1


def test_iid_is_shuffled() -> None:
    """Sorted labels dealt out in order would give client 0 a single label; at random it has all ten."""
    labels = np.repeat(np.arange(10), 100)
    rows, owners = partition(labels, 10, settings_of("iid", 5), 1)
    assert (counts(labels, 5, 10)(rows, owners) > 0).all()


@SOME
@given(st.sampled_from(["dirichlet", "quantity"]), st.integers(1, 6), st.integers(0, 12), st.integers(0, 99))
def test_every_client_has_its_minimum(scheme: str, clients: int, min_size: int, seed: int) -> None:
    labels = np.arange(150) % 4
    chosen = settings_of(scheme, clients, min_size=min_size, alpha=1.0)
    _, owners = partition(labels, 4, chosen, seed)
    assert np.bincount(owners, minlength=clients).min() >= min_size


def test_a_minimum_that_luck_must_bring_is_redrawn_then_refused() -> None:
    """With alpha 1 two of 100 get 40 each in a fifth of draws; with 0.01 five of 100 never get 20 each."""
    chosen = settings_of("quantity", 2, min_size=40, alpha=1.0)
    _, owners = partition(np.zeros(100, np.int64), 1, chosen, 1)
    assert np.bincount(owners, minlength=2).min() >= 40
    with pytest.raises(ParameterError, match="in 1000 draws some client always got fewer than 20 images"):
        partition(np.arange(100) % 2, 2, settings_of("quantity", 5, min_size=20, alpha=0.01), 1)


@pytest.mark.parametrize("scheme", ["dirichlet", "quantity"])
def test_a_minimum_that_cannot_be_is_refused(scheme: str) -> None:
    with pytest.raises(ParameterError, match="50 images cannot give every client its minimum: partition: lower"):
        partition(np.zeros(50, np.int64), 1, settings_of(scheme, 6, min_size=9), 1)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_more_clients_than_images_are_refused(scheme: str) -> None:
    with pytest.raises(ParameterError, match="3 images cannot give every client"):
        partition(np.zeros(3, np.int64), 1, settings_of(scheme, 4, labels_per_client=1), 1)


@SOME
@given(labelled(), st.integers(1, 200), st.integers(0, 99))
def test_max_images_keeps_classes_in_proportion(labelled: tuple[Int64, int], most: int, seed: int) -> None:
    """Each class keeps its share of ``max_images``, rounded down or up."""
    labels, classes = labelled
    rows, owners = partition(labels, classes, settings_of("iid", 1, max_images=most), seed)
    assert len(owners) == len(rows) == min(most, len(labels))
    assert (np.diff(rows) > 0).all()
    exact = np.bincount(labels, minlength=classes) * (len(rows) / len(labels))
    assert (abs(np.bincount(labels[rows], minlength=classes) - exact) < 1).all()


def test_max_images_takes_rows_at_random() -> None:
    rows, _ = partition(np.zeros(1000, np.int64), 1, settings_of("iid", 1, max_images=100), 1)
    other, _ = partition(np.zeros(1000, np.int64), 1, settings_of("iid", 1, max_images=100), 2)
    assert rows[-1] > 900
    assert rows[0] < 100
    assert not np.array_equal(rows, other)


def test_the_classes_that_max_images_favours_are_drawn() -> None:
    """3 images of 40 equal classes: the classes that get one differ from seed to seed; by place, always 0, 1 and 2."""
    labels = np.arange(400) % 40
    chosen = settings_of("iid", 1, max_images=3)
    held = {tuple(sorted(labels[partition(labels, 40, chosen, seed)[0]].tolist())) for seed in range(5)}
    assert len(held) == 5


@SOME
@given(labelled(), st.integers(1, 5), st.integers(1, 200), st.integers(0, 99))
def test_given_owners_keep_their_images_and_max_images_takes_classes_in_proportion(
    labelled: tuple[Int64, int], clients: int, most: int, seed: int
) -> None:
    """Some images belong to nobody (-1), and are never taken."""
    labels, classes = labelled
    given_to = np.random.default_rng(seed).integers(-1, clients, len(labels))
    chosen = PartitionParams.model_validate({"scheme": "column", "column": "writer", "max_images": most})
    rows, owners = partition(labels, classes, chosen, seed, Owners(given_to, clients, None))
    held = np.flatnonzero(given_to >= 0)
    assert np.array_equal(owners, given_to[rows])
    assert set(rows.tolist()) <= set(held.tolist())
    assert len(rows) == min(most, len(held))
    exact = np.bincount(labels[held], minlength=classes) * (len(rows) / len(held))
    assert (abs(np.bincount(labels[rows], minlength=classes) - exact) < 1).all()


@SOME
@given(st.integers(2, 6), st.integers(0, 99))
def test_a_large_alpha_is_even_and_a_small_one_is_not(clients: int, seed: int) -> None:
    """Shares under Dirichlet(1000) lie within a third of 1/clients; under Dirichlet(0.01) one client takes a class.

    The first class of each draw is free of balancing: no client has reached its share of the images yet.
    """
    labels = np.repeat(np.arange(3), 300)
    for scheme in ("dirichlet", "quantity"):
        _, owners = partition(labels, 3, settings_of(scheme, clients, alpha=1000.0), seed)
        sizes = np.bincount(owners, minlength=clients)
        assert (abs(sizes - 900 / clients) < 300 / clients).all()
    _, owners = partition(labels, 3, settings_of("dirichlet", clients, alpha=0.001), seed)
    assert np.bincount(owners[labels == 0]).max() > 150


@SOME
@given(st.integers(2, 8), st.floats(0.001, 2), st.integers(0, 99))
@example(clients=6, alpha=0.333984375, seed=7)
def test_dirichlet_gives_full_clients_no_more(clients: int, alpha: float, seed: int) -> None:
    """Whoever has reached N / clients after some classes holds nothing of the later ones."""
    labels, classes = np.repeat(np.arange(6), 50), 6
    rows, owners = partition(labels, classes, settings_of("dirichlet", clients, alpha=alpha), seed)
    table = counts(labels, clients, classes)(rows, owners)
    before = np.cumsum(table, axis=1) - table
    assert (table[before * clients >= len(labels)] == 0).all()


@given(st.integers(61, 1000))
@settings(max_examples=5)
def test_max_images_beyond_the_data_is_all(most: int) -> None:
    labels = np.arange(60) % 3
    assume(most > len(labels))
    rows, _ = partition(labels, 3, settings_of("iid", 2, max_images=most), 1)
    assert len(rows) == 60
