from collections.abc import Callable

import numpy as np

from pipeline.federated.algorithm import Update, average
from pipeline.federated.algorithms.fedavg import FedAvg


def test_two_clients_by_hand(update: Callable[..., Update]) -> None:
    """Of 4 images one client has 1 and one has 3: (1 * 1 + 3 * 5) / 4 = 4 and (1 * 2 + 3 * -2) / 4 = -1."""
    state = FedAvg().start(np.zeros(2, np.float32))
    sent = [update(weight=1, weights=[1, 2]), update(weight=3, weights=[5, -2])]
    assert FedAvg().aggregate(state, sent, 2, 2)["weights"].tolist() == [4, -1]
    assert list(FedAvg().broadcast(state)) == ["weights"]


def test_the_sum_is_taken_in_the_order_given_and_in_double_precision(update: Callable[..., Update]) -> None:
    """In single precision 1e8 + 1 - 1e8 would be 0."""
    sent = [update(weights=[value]) for value in (3e8, 3.0, -3e8)]
    assert average(np.zeros(1, np.float32), sent).tolist() == [1.0]


def test_without_an_image_the_weights_stay(update: Callable[..., Update]) -> None:
    weights = np.array([1.0, 2.0], np.float32)
    for sent in ([], [update(weight=0, weights=[9, 9])]):
        assert FedAvg().aggregate({"weights": weights}, sent, 2, 2)["weights"].tolist() == [1, 2]


def test_small_updates_are_not_lost_among_many_clients(update: Callable[..., Update]) -> None:
    """10,000 equal clients: adding float32 ten thousandths would drift, doubles do not."""
    made = average(np.zeros(1, np.float32), [update(weights=[1 / 3])] * 10_000)
    assert made.tolist() == np.array([1 / 3], np.float32).tolist()


def test_the_state_is_not_changed_and_a_client_without_images_counts_nothing(update: Callable[..., Update]) -> None:
    state = {"weights": np.array([9.0, 8.0], np.float32)}
    sent = [update(weight=0, weights=[1, 1]), update(weight=2, weights=[5, 5])]
    assert FedAvg().aggregate(state, sent, 2, 2)["weights"].tolist() == [5, 5]
    assert state["weights"].tolist() == [9, 8]
