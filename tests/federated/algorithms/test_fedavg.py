import numpy as np

from pipeline.federated.algorithms import fedavg


def vector(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array(values, np.float32)


def test_two_clients_by_hand() -> None:
    """1 of 4 images with 4, 0, -8 and 3 of 4 with 8, 4, 0: 1 + 6, 0 + 3, -2 + 0."""
    made = fedavg.aggregate(vector(9, 9, 9), [vector(4, 0, -8), vector(8, 4, 0)], [1, 3])
    assert made.tolist() == [7.0, 3.0, -2.0]
    assert made.dtype == np.float32


def test_one_client_gives_its_own_weights() -> None:
    assert fedavg.aggregate(vector(9, 9), [vector(0.1, -0.3)], [17]).tolist() == vector(0.1, -0.3).tolist()


def test_a_client_without_images_counts_nothing() -> None:
    assert fedavg.aggregate(vector(9), [vector(1), vector(5)], [0, 2]).tolist() == [5.0]


def test_without_any_image_the_weights_stay() -> None:
    assert fedavg.aggregate(vector(9, 8), [vector(1, 1), vector(5, 5)], [0, 0]).tolist() == [9.0, 8.0]


def test_small_updates_are_not_lost_among_many_clients() -> None:
    """10,000 equal clients: adding float32 ten thousandths would drift, doubles do not."""
    made = fedavg.aggregate(vector(0), [vector(1 / 3)] * 10_000, [1] * 10_000)
    assert made.tolist() == vector(1 / 3).tolist()


def test_the_state_is_not_changed() -> None:
    state = vector(9, 8)
    fedavg.aggregate(state, [vector(1, 1)], [3])
    assert state.tolist() == [9.0, 8.0]


def test_each_client_gets_and_sends_the_model_once() -> None:
    assert fedavg.SENT == 1
