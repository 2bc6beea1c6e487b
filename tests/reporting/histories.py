"""Small histories for the tests of reports."""

from collections.abc import Mapping, Sequence

from pipeline.artifacts.history import Participation, Round, RunHistory
from pipeline.reporting.arms import ArmRuns

Shares = tuple[float | None, ...]


def run(
    accuracies: Sequence[float | None],
    *,
    fill: str = "none",
    algorithm: str = "fedavg",
    budget: str = "epochs",
    seed: int = 1,
    steps: int = 2,
    samples: int = 64,
    by_class: Shares | None = None,
    losses: Mapping[int, float] | None = None,
    last_rounds: int = 1,
) -> RunHistory:
    """Return a run with one round for each accuracy, None in rounds without a test; its accuracy is its last one.

    Each round moves 1,500 bytes: one client receives 1,000 and sends 500. ``by_class`` is known for the last round;
    ``losses`` are by round, and 1 in the other tested ones.
    """
    given = losses or {}
    rounds = []
    for number, accuracy in enumerate(accuracies, start=1):
        loss = None if accuracy is None else given.get(number, 1.0)
        shares = by_class if number == len(accuracies) else None
        rounds.append(Round(number, (Participation(0, samples, steps, 1_000, 500),), accuracy, loss, shares))
    return RunHistory(fill, algorithm, budget, seed, tuple(rounds), last_rounds)


def arm(
    accuracies: Mapping[int, Sequence[float | None]],
    *,
    fill: str = "none",
    algorithm: str = "fedavg",
    budget: str = "epochs",
    steps: int = 2,
    samples: int = 64,
    clients: Mapping[int, Shares] | None = None,
    by_class: Mapping[int, Shares] | None = None,
    losses: Mapping[int, Mapping[int, float]] | None = None,
    last_rounds: int = 1,
) -> ArmRuns:
    """Return an arm of the runs with these accuracies, by seed; the other mappings are by seed, too.

    ``clients`` are known for the last tested round.
    """
    runs = {
        seed: run(
            values,
            fill=fill,
            algorithm=algorithm,
            budget=budget,
            seed=seed,
            steps=steps,
            samples=samples,
            by_class=(by_class or {}).get(seed),
            losses=(losses or {}).get(seed),
            last_rounds=last_rounds,
        )
        for seed, values in accuracies.items()
    }
    tested = {seed: one for seed, one in runs.items() if one.tested}
    untested = tuple(seed for seed in runs if seed not in tested)
    seen = {seed: {tested[seed].tested[-1].number: shares} for seed, shares in (clients or {}).items()}
    return ArmRuns(algorithm, budget, fill, tested, seen, untested)
