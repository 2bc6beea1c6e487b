from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline import seeds
from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Source
from pipeline.errors import ParameterError
from pipeline.federated import inputs as federated
from pipeline.federated.algorithm import LocalSettings
from pipeline.federated.algorithms.fedprox import FedProx
from pipeline.federated.inputs import Inputs
from pipeline.federated.local import Normalisation
from pipeline.federated.simulation import Client, Run, Schedule
from pipeline.params import TrainParams

SHIPPED = Path(__file__).parents[2] / "params.yaml"
CLIENTS = (Client(10, 12), Client(20, 24))


def params(**others: object) -> TrainParams:
    """Return the shipped parameters but for what a number below depends on."""
    shipped = yaml.safe_load(SHIPPED.read_text())["train"]
    small = {"seeds": [1, 4], "rounds": 2, "local_epochs": 1, "batch_size": 6, "learning_rate": 0.05, "eval_every": 1}
    return TrainParams.model_validate({**shipped, **small, **others})


def holdings(rounds: int | None = None) -> Holdings:
    """Two clients with the fixture's images: the first has rows 0 and 5 and an extra one, the second row 9."""
    rows = {
        "real": (np.array([0, 5]), np.array([9])),
        "extra": (np.array([3]), np.empty(0, np.int64)),
        "idle": (np.empty(0, np.int64),) * 2,
    }
    sources = {"real": Source("real", 30), "extra": Source("extra", 12), "idle": Source("idle", 6)}
    samples, own = {"epochs": np.array([3, 1]), "steps": np.array([12, 18])}, np.array([2, 4])
    counts = np.array([[1, 1, 1], [0, 0, 1]])
    return Holdings("some", sources, rows, samples, own, (60.0,) * 3, (40.0,) * 3, rounds, ("a", "b", "c"), 16, counts)


@pytest.mark.parametrize(
    ("given", "count", "drawn"), [(0.1, 20, 2), (0.5, 3, 2), (0.26, 10, 3), (0.01, 5, 1), (4, 20, 4), (None, 20, None)]
)
def test_clients_of_a_round_are_a_number_or_a_share(
    inputs: Inputs, given: float | None, count: int, drawn: int | None
) -> None:
    """A tenth of 20 is 2; half of 3 and 26 % of 10 are rounded to 2 and 3; one client at least."""
    clients = (Client(1, 1),) * count
    made = federated.run(clients, "", inputs, "fedavg", params(clients_per_round=given), 1)
    assert made.clients_per_round == drawn


def test_parameters_reach_the_run(inputs: Inputs) -> None:
    """The nine test images are three of each class, and a fourth class has none."""
    shipped = params().options
    settings = params(
        options={**shipped, "fedprox": {"mu": 0.5}, "fedavgm": {"momentum": 0.5}},
        model="resnet20",
        norm="batch",
        momentum=0.5,
        weight_decay=0.01,
        clip_norm=3.0,
        augment="shift",
        sampling="class-balanced",
        real_weight=2.0,
        schedule="exponential",
        decay=0.75,
        eval_every=2,
        stop_at=0.5,
        clients_per_round=1,
    )
    made = federated.run(CLIENTS, "digest", replace(inputs, classes=4), "fedprox", settings, 11)
    assert made == Run(
        clients=CLIENTS,
        images="digest",
        normalisation=inputs.normalisation,
        algorithm=FedProx(mu=0.5),
        model="resnet20",
        norm="batch",
        image_size=16,
        tests=(3, 3, 3, 0),
        settings=LocalSettings(
            6, 0.5, 0.01, clip_norm=3.0, augment="shift", sampling="class-balanced", real_weight=2.0
        ),
        schedule=Schedule(0.05, "exponential", 0.75),
        rounds=2,
        clients_per_round=1,
        eval_every=2,
        stop_at=0.5,
        seed=11,
        last_rounds=2,
    )


@pytest.mark.parametrize(
    ("schedule", "decay", "rounds", "refused"),
    [
        ("exponential", 1e-20, 3, False),  # 0.05 x 1e-40 is a float32
        ("exponential", 1e-23, 3, True),  # 0.05 x 1e-46 is none
        ("exponential", 0.5, 2_000, True),
        ("constant", 1e-23, 3, False),
        ("cosine", 1e-23, 2_000, False),
    ],
)
def test_a_rate_that_falls_to_0_is_refused_where_it_divides(
    inputs: Inputs, schedule: str, decay: float, rounds: int, refused: bool
) -> None:
    settings = params(schedule=schedule, decay=decay, rounds=rounds)
    assert federated.run(CLIENTS, "", inputs, "fedavg", settings, 1).rounds == rounds
    if not refused:
        assert federated.run(CLIENTS, "", inputs, "scaffold", settings, 1).rounds == rounds
        return
    with pytest.raises(ParameterError, match=rf"falls to 0 by round {rounds}, and scaffold divides by it: .*decay"):
        federated.run(CLIENTS, "", inputs, "scaffold", settings, 1)


def test_inputs_of_holdings(inputs: Inputs) -> None:
    """Sources of which no client holds a row are left out; labels are the rows' modulo 3."""
    real, extra = inputs.sources
    made = Inputs.of(holdings(), {"real": real, "extra": extra, "idle": inputs.test}, inputs.test)
    assert made.sources == (real, extra)
    assert [[rows.tolist() for rows in client] for client in made.clients] == [[[0, 5], [3]], [[9], []]]
    assert made.normalisation == Normalisation((60.0,) * 3, (40.0,) * 3)
    assert made.labels(0).tolist() == [0, 2, 0]
    assert made.labels(1).tolist() == [0]


def test_tests_can_be_some_rows_of_an_array(inputs: Inputs) -> None:
    """Rows 7, 1 and 4 of the training images have label 1, all three."""
    real, extra = inputs.sources
    made = Inputs.of(holdings(), {"real": real, "extra": extra}, real, np.array([7, 1, 4]))
    assert made.test_labels.tolist() == [1, 1, 1]
    assert federated.run(CLIENTS, "", made, "fedavg", params(), 1).tests == (0, 3, 0)
    digests = {replace(made, test_rows=rows).digest for rows in (np.array([7, 1, 4]), np.array([7, 1]), None)}
    assert len(digests) == 3


@pytest.mark.parametrize(("schedule", "decay", "quarter"), [("exponential", 0.25, 0.5), ("cosine", 0.25, 1.0)])
def test_central_runs_decay_as_far_as_federated_ones(
    inputs: Inputs, schedule: str, decay: float, quarter: float
) -> None:
    """Two rounds with a factor 0.25 each are four quarters with a factor 0.25^(2 / 4) = 0.5 each."""
    chosen = params(schedule=schedule, decay=decay, stop_at=0.5, eval_every=2, clients_per_round=1, seeds=[1])
    one, _ = federated.runs(holdings(), inputs, "fedavg", chosen, 9)
    central, _ = federated.runs(holdings(rounds=4), inputs, "fedavg", chosen, 9)
    expected = replace(one[2], rounds=4, clients_per_round=None, eval_every=1, stop_at=None, last_rounds=1, alone=True)
    assert central[2] == replace(expected, schedule=Schedule(0.05, schedule, quarter))


def test_a_central_run_of_another_algorithm_is_refused(inputs: Inputs) -> None:
    with pytest.raises(
        ParameterError, match=r"no federation: params.yaml, train.fills: name it under train.references"
    ):
        list(federated.runs(holdings(rounds=4), inputs, "fedprox", params(), 9))


def test_clients_alone_train_if_they_have_samples_and_are_tested_at_the_end(inputs: Inputs) -> None:
    """Not all whose weight in averages is above 0 draw samples, nor the other way round."""
    chosen = params(stop_at=0.5, eval_every=2, clients_per_round=2, rounds=6)
    clients = (Client(0, 12), Client(5, 0), Client(7, 3))
    made = federated.run(clients, "", inputs, "fedavg", chosen, 1)
    expected = replace(made, clients=(Client(1, 12), Client(0, 0), Client(1, 3)), alone=True, last_rounds=1)
    assert federated.alone(made) == replace(expected, eval_every=6, stop_at=None)


def test_runs_name_the_run_that_they_start_from_by_seed(inputs: Inputs) -> None:
    made = federated.runs(holdings(), inputs, "fedavg", params(), 9, {1: "first", 4: "second"})
    assert [run.start for *_, run in made] == ["first", "second"] * 2


def test_every_budget_and_seed_is_a_run(inputs: Inputs) -> None:
    """Runs of one seed start alike under both budgets and under every fill."""
    made = list(federated.runs(holdings(), inputs, "fedavg", params(), 9))
    assert [(budget, seed) for budget, seed, _ in made] == [("epochs", 1), ("epochs", 4), ("steps", 1), ("steps", 4)]
    assert [run.clients for *_, run in made[::2]] == [(Client(3, 3), Client(1, 1)), (Client(3, 12), Client(1, 18))]
    assert [run.seed for *_, run in made] == [seeds.derive(9, "train", 1), seeds.derive(9, "train", 4)] * 2
    assert {run.images for *_, run in made} == {inputs.digest}


@pytest.mark.parametrize(("by", "weights"), [("images", (3, 1)), ("real", (2, 4))])
def test_clients_weigh_by_all_images_or_by_their_own_real_ones(
    inputs: Inputs, by: str, weights: tuple[int, int]
) -> None:
    """Clients hold 3 and 1 images and have 2 and 4 real ones of their own."""
    for *_, made in federated.runs(holdings(), inputs, "fedavg", params(weights=by), 9):
        assert tuple(client.weight for client in made.clients) == weights


def test_a_client_without_a_real_image_sits_out_if_they_are_what_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One that has real images but nothing to train on sits out, too, as it always does."""
    held = replace(holdings(), own=np.array([0, 4]))
    assert federated.client_weights(held, params(weights="real")).tolist() == [0, 4]
    assert capsys.readouterr().err == (
        "fill some: 1 of 2 clients have images, but no real one of their own: with train.weights = real they sit out\n"
    )
    nothing = (np.empty(0, np.int64),) * 2
    assert federated.client_weights(replace(held, rows={"real": nothing}), params(weights="real")).tolist() == [0, 0]
    assert federated.client_weights(held, params()).tolist() == [3, 1]
    assert capsys.readouterr().err == ""


def test_real_images_are_those_of_the_source_of_that_name(inputs: Inputs) -> None:
    real, extra = inputs.sources
    made = Inputs.of(holdings(), {"real": real, "extra": extra}, inputs.test)
    assert made.real(0).tolist() == [True, True, False]
    assert made.real(1).tolist() == [True]
    assert replace(made, names=("extra", "real")).real(0).tolist() == [False, False, True]


def test_the_digest_is_of_content_and_of_who_holds_what(inputs: Inputs) -> None:
    """Not of the arrays' names, nor of where they are."""
    real, extra = inputs.sources
    elsewhere = replace(real, path=Path("elsewhere.npy"))
    assert replace(inputs, sources=(elsewhere, extra)).digest == inputs.digest
    first, second, third = inputs.clients
    others = [
        replace(inputs, sources=(replace(real, content="0" * 64), extra)),
        replace(inputs, sources=(extra, real)),
        replace(inputs, names=("extra", "real")),
        replace(inputs, test=replace(inputs.test, content="0" * 64)),
        replace(inputs, clients=(second, first, third)),
        replace(inputs, clients=(first, (second[0][:-1], second[1]), third)),
        replace(inputs, clients=(first, (second[0][:-1], second[0][-1:]), third)),
        replace(inputs, clients=(first, second)),
    ]
    assert len({inputs.digest, *(other.digest for other in others)}) == len(others) + 1
