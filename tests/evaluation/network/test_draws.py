import numpy as np
import pytest

from pipeline.evaluation.network import draws
from pipeline.evaluation.network.profiles import Profile

PROFILE = Profile("mine", (0.25, 0.75), (10.0, 30.0), (1.0, 5.0), (20.0, 60.0), (0.0, 0.04))
"""Values of u in between are 10 + 40 (u - 0.25), 1 + 8 (u - 0.25), 20 + 80 (u - 0.25), 0.08 (u - 0.25)."""


def numbers(*levels: float) -> draws.Uniforms:
    """Return the whole numbers nearest to levels, for one client: down, up, rtt, loss, compute."""
    return np.array([[round(level * 65536 - 0.5)] for level in levels], np.uint16)


def shown(links: draws.Links) -> tuple[float, ...]:
    return tuple(getattr(links, name).item() for name in ("down", "up", "rtt", "loss", "slowness"))


def test_at_one_quantile_a_client_is_good_or_bad_in_everything() -> None:
    """At 0.375 bandwidths are at 0.375, round-trip time and loss at 0.625: 15, 2, 50 ms, 0.03; compute is at 0.5."""
    links = draws.links(PROFILE, numbers(0.375, 0.9, 0.9, 0.9, 0.5), "quantile", 0.7)
    assert shown(links) == pytest.approx((15, 2, 0.05, 0.03, 1), rel=1e-3)


def test_independent_channels_have_their_own_quantiles() -> None:
    """At 0.375, 0.5, 0.625, 0.5: 15, 3, 50 ms, 0.02; compute at 0.8413 is a deviation above the median: e^0.7."""
    links = draws.links(PROFILE, numbers(0.375, 0.5, 0.625, 0.5, 0.841345), "independent", 0.7)
    assert shown(links) == pytest.approx((15, 3, 0.05, 0.02, np.exp(0.7)), rel=1e-3)


def test_beyond_the_outer_quantiles_values_stay() -> None:
    links = draws.links(PROFILE, numbers(0.01, 0.99, 0.01, 0.99, 0.5), "independent", 0.0)
    assert shown(links) == (10, 5, 0.02, 0.04, 1)


def test_a_profile_of_one_row_makes_all_links_equal_and_no_loss_is_none() -> None:
    one = Profile("one", (0.5,), (8.0,), (4.0,), (100.0,))
    links = draws.links(one, draws.uniforms(1, 0, 50), "independent", 0.0)
    assert {name: set(getattr(links, name).tolist()) for name in ("down", "up", "rtt", "loss", "slowness")} == {
        "down": {8.0}, "up": {4.0}, "rtt": {0.1}, "loss": {0.0}, "slowness": {1.0},
    }  # fmt: skip


def test_a_draw_depends_on_its_names_alone() -> None:
    """Not on how many clients there are, nor on the profile; each name changes it."""
    some, more = draws.uniforms(1, 3, 4), draws.uniforms(1, 3, 40)
    np.testing.assert_array_equal(some, more[:, :4])
    others = [draws.uniforms(2, 3, 4), draws.uniforms(1, 4, 4), draws.uniforms(1, 3, 4, 1), draws.uniforms(1, 3, 4, 2)]
    assert len({one.tobytes() for one in (some, *others)}) == 5


def test_levels_are_spread_evenly_and_channels_are_independent() -> None:
    """Each tenth has a tenth of 50,000 levels, within five standard errors, 5 x sqrt(0.09 / 50000) = 0.0067."""
    levels = draws.levels(np.concatenate([draws.uniforms(1, draw, 500) for draw in range(100)], axis=1))
    assert 0 < levels.min() < levels.max() < 1
    for channel in levels:
        assert np.histogram(channel, 10, (0, 1))[0] / channel.size == pytest.approx(0.1, abs=0.0067)
    correlations = np.asarray(np.corrcoef(levels))[~np.eye(5, dtype=bool)]
    assert np.abs(correlations).max() < 5 / np.sqrt(levels.shape[1])


def test_compute_is_log_normal() -> None:
    """The logarithms have mean 0 and deviation 0.7, each within five standard errors of 50,000."""
    many = np.concatenate([draws.uniforms(1, draw, 500) for draw in range(100)], axis=1)
    logs = np.log(draws.links(PROFILE, many, "quantile", 0.7).slowness)
    assert abs(logs.mean()) < 5 * 0.7 / np.sqrt(logs.size)
    assert abs(logs.std() - 0.7) < 5 * 0.7 / np.sqrt(2 * logs.size)
