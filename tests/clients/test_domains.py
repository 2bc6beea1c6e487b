"""Partition schemes and deficit rules in a data set with domains."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.clients.deficits import deficits, surplus
from pipeline.clients.partition import SCHEMES, clients_of, partition
from pipeline.data import domains
from pipeline.data.domains import Domains
from pipeline.errors import DataError, ParameterError
from pipeline.params import DeficitsParams, PartitionParams


def of(*sizes: int) -> Domains:
    """Return domains a, b, ... of so many images each."""
    return Domains(tuple("abcdef"[: len(sizes)]), np.repeat(np.arange(len(sizes)), sizes))


def scheme(name: str, clients: int, **others: object) -> PartitionParams:
    return PartitionParams.model_validate({"scheme": name, "clients": clients, "min_size": 0, **others})


def test_clients_are_split_evenly_and_the_largest_domains_get_the_rest() -> None:
    """11 clients over 4 domains: 2 each and 3 left for the domains of 9, 8 and 7 images; no client without images."""
    assert clients_of(of(5, 9, 7, 8), 11) == [2, 3, 3, 3]
    assert clients_of(of(5, 9, 7, 8), 12) == [3, 3, 3, 3]
    assert clients_of(of(5, 0, 7), 5) == [2, 0, 3]
    with pytest.raises(ParameterError, match=r"2 clients for 3 domains: partition.clients: raise .* to at least 3"):
        clients_of(of(1, 1, 1), 2)


@settings(max_examples=40)
@given(st.sampled_from(sorted(SCHEMES)), st.integers(0, 10**6), st.integers(2, 4), st.integers(0, 5))
def test_each_client_has_images_of_one_domain_and_each_domain_its_own_draw(
    name: str, seed: int, groups: int, more: int
) -> None:
    """A domain's partition is that of its images alone: the images of other domains change nothing in it."""
    rng = np.random.default_rng(seed)
    labels, numbers = rng.integers(0, 3, 240), np.arange(240) % groups
    found, clients = Domains(tuple("abcd"[:groups]), numbers), 2 * groups + more
    chosen = scheme(name, clients, labels_per_client=2, alpha=0.5)
    rows, owners = partition(labels, 3, chosen, seed, domains=found)
    assert rows.tolist() == list(range(240))
    held = [set(owners[numbers == domain].tolist()) for domain in range(groups)]
    ends = np.cumsum([0, *clients_of(found, clients)])
    assert all(own <= set(range(ends[i], ends[i + 1])) for i, own in enumerate(held))
    others = labels.copy()
    others[numbers > 0] = (labels[numbers > 0] + 1) % 3
    _, again = partition(others, 3, chosen, seed, domains=found)
    assert np.array_equal(owners[numbers == 0], again[numbers == 0])


def test_a_part_of_the_images_has_classes_and_domains_in_proportion() -> None:
    """30 of 60: half of the 20, 10, 10 and 20 images of the pairs."""
    labels = np.repeat([0, 1, 0, 1], [20, 10, 10, 20])
    found = Domains(("a", "b"), np.repeat([0, 1], 30))
    rows, _ = partition(labels, 2, scheme("iid", 2, max_images=30), 1, domains=found)
    assert np.bincount(found.numbers[rows] * 2 + labels[rows]).tolist() == [10, 5, 5, 10]


def test_a_domain_with_too_few_images_is_named() -> None:
    with pytest.raises(ParameterError, match="3 images cannot give every client its minimum: partition, domain 'b'"):
        partition(np.zeros(43, np.int64), 1, scheme("dirichlet", 2, min_size=5), 1, domains=of(40, 3))


HAVE = np.array([[8, 0, 0, 0], [0, 0, 3, 1], [2, 2, 0, 0]])
"""Two classes in two domains: clients 0 and 2 are of the first one, client 1 is of the second."""


def rule(name: str, **others: object) -> DeficitsParams:
    return DeficitsParams.model_validate({"rule": name, **others})


def test_a_rule_sees_each_domain_by_itself_or_all_pairs() -> None:
    """own-max: 8, 3 and 2 in the client's own domain, or in both.

    global-mean: 12 images in 2 x 2 cells of the first domain are 3, 4 in 1 x 2 of the second are 2; or 16 in 3 x 4 are
    1.33, so 2.
    """
    want, missing = deficits(HAVE, rule("own-max"), 1, ("a", "b"))
    assert want.tolist() == [[8, 8, 0, 0], [0, 0, 3, 3], [2, 2, 0, 0]]
    assert missing.tolist() == [[0, 8, 0, 0], [0, 0, 0, 2], [0, 0, 0, 0]]
    want, _ = deficits(HAVE, rule("own-max", domains="all"), 1, ("a", "b"))
    assert want.tolist() == [[8] * 4, [3] * 4, [2] * 4]
    want, _ = deficits(HAVE, rule("global-mean"), 1, ("a", "b"))
    assert want.tolist() == [[8, 3, 0, 0], [0, 0, 3, 2], [3, 3, 0, 0]]
    want, _ = deficits(HAVE, rule("global-mean", domains="all"), 1, ("a", "b"))
    assert want.tolist() == [[8, 2, 2, 2], [2, 2, 3, 2], [2, 2, 2, 2]]


def test_limits_are_over_all_domains_and_same_total_keeps_sizes_in_each() -> None:
    """Of 8 + 2 images to make 5 are left: half of each. Clients keep 8, 4 and 4 images: 4 and 4, 2 and 2, 2 and 2."""
    _, missing = deficits(HAVE, rule("own-max", max_total=5), 1, ("a", "b"))
    assert missing.tolist() == [[0, 4, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    chosen = rule("same-total")
    want, missing = deficits(HAVE, chosen, 1, ("a", "b"))
    assert want.tolist() == [[4, 4, 0, 0], [0, 0, 2, 2], [2, 2, 0, 0]]
    assert surplus(HAVE, want, missing, chosen, 1).tolist() == [[4, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_a_class_that_nobody_has_in_a_domain_is_lacked_by_nobody_there() -> None:
    """Class 1 is in the first domain only, so the client of the second one lacks nothing."""
    _, missing = deficits(np.array([[8, 2, 0, 0], [0, 0, 3, 0]]), rule("own-max"), 1, ("a", "b"))
    assert missing.tolist() == [[0, 6, 0, 0], [0, 0, 0, 0]]


def values(*given: object) -> np.ndarray:
    out = np.empty(len(given), object)
    out[:] = given
    return out


def test_domains_are_in_the_order_in_which_people_count() -> None:
    found = domains.read(values("site 10", "site 2", "site 10"), "site")
    assert found.names == ("site 2", "site 10")
    assert found.numbers.tolist() == [1, 0, 1]
    after = domains.read(values("site 1", "site 10"), "site").after(found.names)
    assert after.names == ("site 2", "site 10", "site 1")
    assert after.numbers.tolist() == [2, 1]
    assert domains.read(values(10, 2, 10), "site").names == ("2", "10")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("a", None, ""), "2 of 3 images have no domain: column 'site': fill them in"),
        (("a", float("nan")), "1 of 2 images have no domain"),
        (("a", ["b"]), "a value of type list names no domain"),
    ],
)
def test_a_column_that_names_no_domains_is_refused(given: tuple[object, ...], said: str) -> None:
    with pytest.raises(DataError, match=said):
        domains.read(values(*given), "site")


def test_words_for_domains() -> None:
    assert domains.spoken(("art_painting", "line-art"), {"line-art": "drawing"}) == ("art painting", "drawing")
    with pytest.raises(ParameterError, match=r"no domain 'sketch': params.yaml, data.group_words: the domains are a"):
        domains.spoken(("a",), {"sketch": "x"})
    with pytest.raises(ParameterError, match="would call two domains 'a b': 'a_b' and 'a-b'"):
        domains.spoken(("a_b", "a-b"), {})
    with pytest.raises(ParameterError, match=r"prompts cannot say the domain '{x}'"):
        domains.spoken(("{x}",), {})
