"""Three clients on a link of 8 Mbit/s down and 4 up without a round-trip time, who get and send 2 MB: 2 s and 4 s.

They train on 10, 40 and 20 images at 0.1 s each, so they arrive after 7, 10 and 8 s.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts.history import Participation, Round, RunHistory
from pipeline.evaluation.network import profiles
from pipeline.evaluation.network.profiles import Profile
from pipeline.evaluation.network.replay import Network, Replay, clients, distribute, networks, replay
from pipeline.network_params import NetworkParams

LINK = Profile("link", (0.5,), (8.0,), (4.0,), (0.0,))
SAMPLES = (10, 40, 20)
MEGABYTES = 2_000_000


def history(*rounds: Sequence[Participation]) -> RunHistory:
    made = tuple(Round(number, tuple(done)) for number, done in enumerate(rounds, 1))
    return RunHistory("none", "fedavg", "epochs", 1, made)


def three(*lost: int) -> list[Participation]:
    """Return what the three do in a round; those in ``lost`` drop out."""
    return [
        Participation(client, samples, 1, MEGABYTES, 0 if client in lost else MEGABYTES)
        for client, samples in enumerate(SAMPLES)
    ]


def network(profile: Profile = LINK, **options: Any) -> Network:
    return Network(profile, NetworkParams(**{"draws": 1, "sample_seconds": 0.1, "compute_spread": 0, **options}), 1)


def shown(found: Replay) -> list[float]:
    """Return the only round's seconds, down, compute, up, waiting."""
    return [getattr(found, name).item() for name in ("seconds", "down", "compute", "up", "waiting")]


@pytest.mark.parametrize(
    ("options", "lost", "expected", "kept"),
    [
        ({}, (), [10, 2, 4, 4, 0], "yyy"),
        ({"first": 2}, (), [8, 2, 2, 4, 0], "yny"),
        ({"first": 1}, (), [7, 2, 1, 4, 0], "ynn"),
        ({"first": 0.5}, (), [8, 2, 2, 4, 0], "yny"),  # 1.5 clients are 2
        ({"first": 5}, (), [10, 2, 4, 4, 0], "yyy"),
        ({"deadline": 9}, (), [9, 2, 2, 4, 1], "yny"),
        ({"deadline": 8}, (), [8, 2, 2, 4, 0], "yny"),  # who arrives at the deadline counts
        ({"deadline": 11}, (), [10, 2, 4, 4, 0], "yyy"),
        ({"deadline": 5}, (), [5, 0, 0, 0, 5], "nnn"),
        ({"deadline": 9, "first": 1}, (), [7, 2, 1, 4, 0], "ynn"),
        ({"deadline": 7.5, "first": 2}, (), [7.5, 2, 1, 4, 0.5], "ynn"),
        ({"server": 12}, (), [12, 4, 4, 4, 0], "yyy"),  # 4 Mbit/s for each: 2 MB in 4 s both ways
        ({}, (1,), [8, 2, 2, 4, 0], "yny"),
        ({"deadline": 12}, (1,), [12, 2, 2, 4, 4], "yny"),  # nobody knows that client 1 will not arrive
        ({"first": 2}, (0,), [10, 2, 4, 4, 0], "nyy"),
        ({"first": 2}, (0, 1), [8, 2, 2, 4, 0], "nny"),
        ({}, (0, 1, 2), [0, 0, 0, 0, 0], "nnn"),
        ({"sample_seconds": 0}, (), [6, 2, 0, 4, 0], "yyy"),
    ],
)
def test_three_clients_by_hand(
    options: dict[str, Any], lost: tuple[int, ...], expected: list[float], kept: str
) -> None:
    found = replay(history(three(*lost)), network(**options))
    assert shown(found) == pytest.approx(expected)
    assert ["ny"[one] for one in found.kept[0].tolist()] == list(kept)
    one = clients(history(three(*lost)), network(**options), 1)
    np.testing.assert_array_equal(one.kept, found.kept)
    if "server" not in options and "sample_seconds" not in options:
        assert one.down.tolist() == [[2, 2, 2]]
        assert one.compute.tolist() == [pytest.approx([1, 4, 2])]


def test_round_trips_count_both_ways() -> None:
    """10 ms, with 3 round trips for each transfer, but no slow start: 14,600 bytes take 14.6 ms at 8 Mbit/s."""
    near = replace(LINK, rtt=(10.0,))
    assert shown(replay(history(three()), network(near))) == pytest.approx([10.06, 2.03, 4, 4.03, 0])


def test_rounds_of_unequal_clients_and_of_nobody() -> None:
    """Client 1 alone takes 10 s; nobody takes no time; clients 0 and 2 take 8 s."""
    found = replay(history(three()[1:2], [], three()[::2]), network(first=0.9))
    assert found.seconds.tolist() == [pytest.approx([10, 0, 8])]
    assert found.elapsed.tolist() == [pytest.approx([10, 10, 18])]
    assert (found.starts.tolist(), found.kept.tolist()) == ([0, 1, 1, 3], [[True, True, True]])
    assert replay(history(), network()).seconds.shape == (1, 0)


def test_a_central_run_sends_nothing_and_computes() -> None:
    found = replay(history([Participation(0, 50, 5, 0, 0)]), network(round_trips=9))
    assert shown(found) == pytest.approx([5, 0, 5, 0, 0])


def test_what_is_sent_once_goes_to_all_at_the_same_time() -> None:
    """1, 0 and 3 MB at 8 Mbit/s; with a server of 8 Mbit/s two of them share it."""
    assert distribute([1_000_000, 0, 3_000_000], network()).tolist() == [[1, 0, 3]]
    assert distribute([1_000_000, 0, 3_000_000], network(server=8)).tolist() == [[2, 0, 6]]
    assert distribute([0, 0], network(server=8)).tolist() == [[0, 0]]
    world = network(profiles.load("world"), draws=4)
    np.testing.assert_array_equal(distribute([5, 6], world, [3, 1]), distribute([5, 6], world)[[3, 1]])


def test_links_stay_or_are_drawn_again() -> None:
    """Each draw is known by its number, and so can be asked for by itself."""
    run, world = history(*[three()] * 4), profiles.load("world")
    stay, again = (replay(run, network(world, draws=5, redraw=redraw)) for redraw in (False, True))
    assert (stay.seconds == stay.seconds[:, :1]).all()
    assert len(np.unique(again.seconds)) == again.seconds.size
    one = replay(run, network(world, redraw=True), [3])
    np.testing.assert_array_equal(one.seconds, again.seconds[3:4])
    np.testing.assert_array_equal(clients(run, network(world, draws=5, redraw=True), 2).kept, again.kept[:, 3:6])


def test_profiles_are_compared_on_the_same_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twice the bandwidth is half the time in each draw; a loss that bounds nothing is said."""
    world = profiles.load("world")
    lines = zip(world.quantiles, world.down, world.up, strict=True)
    rows = "".join(f"{q},{2 * down},{2 * up},0,0.01\n" for q, down, up in lines)
    (tmp_path / "twice.csv").write_text(f"quantile,down_mbit_s,up_mbit_s,rtt_ms,loss\n{rows}")
    options = NetworkParams(profiles=("world", "twice.csv"), round_trips=0, sample_seconds=0, draws=20)
    first, second = networks(options, 3, tmp_path)
    assert capsys.readouterr().err == "twice.csv: its loss bounds nothing, since network.loss_bound is false\n"
    run, still = history(three()), replace(first.profile, rtt=(0.0,) * 7)
    found = [replay(run, one).seconds for one in (replace(first, profile=still), second)]
    np.testing.assert_allclose(found[0], 2 * found[1])


@st.composite
def cases(draw: st.DrawFn) -> tuple[RunHistory, Network]:
    """A short history of up to four clients, on a profile of up to three quantiles, with any options."""
    count = draw(st.integers(1, 3))

    def ascending(low: float, high: float) -> tuple[float, ...]:
        return tuple(sorted(draw(st.lists(st.floats(low, high), min_size=count, max_size=count))))

    quantiles = (0.2, 0.5, 0.8)[:count]
    profile = Profile(
        "drawn", quantiles, ascending(0.1, 500), ascending(0.1, 500), ascending(0, 500), ascending(0, 0.3)
    )
    size = st.sampled_from([0, 1000, 10**6, 45 * 10**6])
    rounds = [
        [Participation(i, draw(st.integers(0, 500)), 1, draw(size), draw(size)) for i in sorted(draw(chosen))]
        for _ in range(draw(st.integers(1, 3)))
        for chosen in [st.sets(st.integers(0, 3))]
    ]
    options = NetworkParams(
        coupling=draw(st.sampled_from(["quantile", "independent"])),
        draws=3,
        redraw=draw(st.booleans()),
        deadline=draw(st.none() | st.floats(0.1, 1000)),
        first=draw(st.none() | st.integers(1, 4) | st.floats(0.1, 1)),
        server=draw(st.none() | st.floats(0.5, 100)),
        loss_bound=draw(st.booleans()),
        round_trips=draw(st.integers(0, 4)),
    )
    return history(*rounds), Network(profile, options, draw(st.integers(0, 10)))


@settings(max_examples=60, deadline=None)
@given(cases(), st.floats(0, 1))
def test_a_better_network_never_costs_time(case: tuple[RunHistory, Network], factor: float) -> None:
    """More bandwidth, a shorter round trip, less loss, faster devices, a faster server: in every draw and round."""
    run, given_network = case
    profile, options = given_network.profile, given_network.options
    slow = replay(run, given_network).seconds

    def scaled(values: tuple[float, ...] | None, by: float) -> tuple[float, ...]:
        return tuple(value * by for value in values or ())

    more = 1 + 9 * factor
    better = [
        replace(given_network, profile=one)
        for one in (
            replace(profile, down=scaled(profile.down, more)),
            replace(profile, up=scaled(profile.up, more)),
            replace(profile, rtt=scaled(profile.rtt, factor)),
            replace(profile, loss=scaled(profile.loss, factor)),
        )
    ]
    changes: list[dict[str, Any]] = [{"sample_seconds": options.sample_seconds * factor}]
    changes.append({"server": options.server * more if options.server else None})
    better += [replace(given_network, options=options.model_copy(update=change)) for change in changes]
    for one in better:
        assert (replay(run, one).seconds <= slow * (1 + 1e-9) + 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(1, 4))
def test_waiting_for_fewer_never_takes_longer(case: tuple[RunHistory, Network], first: int) -> None:
    """Nor does a deadline; who is kept arrives before the end, and the parts of a round's time make up the whole."""
    run, given_network = case
    options = given_network.options
    found = replay(run, given_network)
    parts = found.down + found.compute + found.up + found.waiting
    np.testing.assert_allclose(parts, found.seconds, rtol=1e-9, atol=1e-9)
    assert min(found.waiting.min(), found.down.min(), found.up.min()) >= 0
    everyone = replay(run, replace(given_network, options=options.model_copy(update={"first": None})))
    fewer = replay(run, replace(given_network, options=options.model_copy(update={"first": first})))
    assert (fewer.seconds <= everyone.seconds).all()
    assert (fewer.kept <= everyone.kept).all()
    patient = replay(run, replace(given_network, options=options.model_copy(update={"deadline": None})))
    arriving = np.array([not one.dropped for done in run.rounds for one in done.participants], bool)
    if arriving.all():
        assert (found.seconds <= patient.seconds).all()


def test_the_world_waits_for_its_slowest_clients() -> None:
    """ResNet-18, 45 MB both ways, to 10 clients a round that are drawn again in each; transfer alone.

    A client takes about 25 s in the median, a round that waits for all of them about 2,500 s, and about 100 s one that
    the eighth ends: the upload quantiles reach from 0.08 to 320 Mbit/s. The first number is close to the median client:
    45 MB x 8 x (1 / 55.3 + 1 / 20.0) = 24.5 s.
    """
    size = 45_000_000
    run = history(*[[Participation(client, 0, 0, size, size) for client in range(10)]] * 100)
    options: dict[str, Any] = {"draws": 20, "redraw": True, "round_trips": 0, "sample_seconds": 0}
    world = network(replace(profiles.load("world"), rtt=(0.0,) * 7), **options)
    found = [clients(run, world, number) for number in range(1, 101)]
    assert found[0].down.shape == (20, 10)
    assert np.median([one.down + one.up for one in found]) == pytest.approx(25, rel=0.1)
    assert np.median(replay(run, world).seconds) == pytest.approx(2500, rel=0.15)
    eighth = replace(world, options=world.options.model_copy(update={"first": 8}))
    assert np.median(replay(run, eighth).seconds) == pytest.approx(100, rel=0.1)
    assert replay(run, eighth).kept.mean() == pytest.approx(0.8, abs=0.01)
