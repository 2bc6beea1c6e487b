import numpy as np
import pytest
import torch

from pipeline.generation import noise


@pytest.mark.parametrize("seed", [0, 5, 2**32 + 5, 2**63 - 1])
def test_the_stream_is_numpys(seed: int) -> None:
    """NumPy starts with the last word of the initial state, torch with the twist after it."""
    expected = np.random.MT19937(np.random.SeedSequence(seed)).random_raw(2_001)[1:]
    drawn = torch.randint(0, 2**16, (2_000,), generator=noise.generator(seed)).numpy()
    assert np.array_equal(drawn, expected % 2**16)


def test_seeds_of_equal_low_bits_have_different_noise() -> None:
    """Which torch's own seeding gives one stream."""
    low, high = 12_345, 12_345 + (1 << 40)
    own = [torch.randn(8, generator=torch.Generator().manual_seed(seed)) for seed in (low, high)]
    assert torch.equal(*own)
    ours = [torch.randn(8, generator=noise.generator(seed)) for seed in (low, high, low)]
    assert not torch.equal(ours[0], ours[1])
    assert torch.equal(ours[0], ours[2])


def test_numbers_are_as_normal_as_torchs() -> None:
    drawn = torch.cat([torch.randn(1_000, generator=noise.generator(seed)) for seed in range(100)])
    assert float(drawn.mean()) == pytest.approx(0, abs=0.015)
    assert float(drawn.std()) == pytest.approx(1, abs=0.01)
    first = torch.tensor([torch.randn(1, generator=noise.generator(seed)).item() for seed in range(2_000)])
    assert float(first.mean()) == pytest.approx(0, abs=0.1)
    assert float(first.std()) == pytest.approx(1, abs=0.06)


def test_another_layout_of_the_state_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "_WORDS", slice(16, 16 + 624 * 8))
    with pytest.raises(RuntimeError, match="in another layout"):
        noise.generator(1)
