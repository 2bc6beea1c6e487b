import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.federated.pictures import ClientPictures

Rows = st.lists(st.integers(0, 6), max_size=9)


def source(start: int) -> torch.Tensor:
    """Seven pictures of 2x2 pixels, all bytes of picture i are start + i."""
    levels = torch.arange(start, start + 7, dtype=torch.uint8)
    return levels[:, None, None, None].expand(7, 2, 2, 3).contiguous()


@settings(max_examples=100)
@given(held=st.lists(Rows, min_size=1, max_size=3), seed=st.integers(0, 99))
def test_a_batch_is_what_indexing_the_whole_gives(held: list[list[int]], seed: int) -> None:
    """Rows may repeat and come in any order."""
    sources = [source(20 * i) for i in range(len(held))]
    rows = [np.array(of_one, np.int64) for of_one in held]
    whole = torch.cat([part[torch.from_numpy(of_one)] for part, of_one in zip(sources, rows, strict=True)])
    made = ClientPictures(list(zip(sources, rows, strict=True)), "cpu")
    assert len(made) == len(whole)
    if len(whole):
        asked = torch.from_numpy(np.random.default_rng(seed).integers(0, len(whole), 5))
        assert torch.equal(made.take(asked), whole[asked])


def test_nothing_is_copied_in_advance() -> None:
    images, others = source(0), source(50)
    for parts in ([(images, np.arange(2, 6))], [(others, np.arange(3)), (images, np.array([4, 3]))]):
        made = ClientPictures(parts, "cpu")
        images[3] = 99
        assert made.take(torch.tensor([len(made) - 1 if len(parts) > 1 else 1]))[0, 0, 0, 0] == 99
        images[3] = 3
