import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.federated.pictures import ClientPictures

Rows = st.lists(st.integers(0, 6), max_size=9)


def source(start: int) -> torch.Tensor:
    """Seven pictures of 2x2 pixels, all bytes of picture i are start + i."""
    levels = torch.arange(start, start + 7, dtype=torch.uint8)
    return levels[:, None, None, None].expand(7, 2, 2, 3).contiguous()


@pytest.mark.parametrize("gathered", [0, 10**9])
@settings(max_examples=60)
@given(held=st.lists(Rows, min_size=1, max_size=3), seed=st.integers(0, 99))
def test_a_batch_is_what_indexing_the_whole_gives(gathered: int, held: list[list[int]], seed: int) -> None:
    """Whether the images are copied side by side or read by the batch; rows may repeat and lie in any order."""
    sources = [source(20 * i) for i in range(len(held))]
    rows = [np.array(of_one, np.int64) for of_one in held]
    whole = torch.cat([part[torch.from_numpy(of_one)] for part, of_one in zip(sources, rows, strict=True)])
    made = ClientPictures(list(zip(sources, rows, strict=True)), "cpu", gathered)
    assert len(made) == len(whole)
    if len(whole):
        asked = torch.from_numpy(np.random.default_rng(seed).integers(0, len(whole), 5))
        assert torch.equal(made.take(asked), whole[asked])


def test_one_stretch_of_a_source_is_not_copied() -> None:
    images = source(0)
    made = ClientPictures([(images, np.arange(2, 6)), (source(50), np.empty(0, np.int64))], "cpu")
    images[3] = 99
    assert made.take(torch.tensor([1]))[0, 0, 0, 0] == 99


@pytest.mark.parametrize(("gathered", "copied"), [(36, True), (35, False)])
def test_small_ones_are_copied_side_by_side(gathered: int, copied: bool) -> None:
    """Three pictures of 12 bytes."""
    images = source(0)
    made = ClientPictures([(images, np.array([1, 4, 2]))], "cpu", gathered)
    images[4] = 99
    assert (made.take(torch.tensor([1]))[0, 0, 0, 0] == 99) != copied
