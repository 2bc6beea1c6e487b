import hashlib

from hypothesis import given
from hypothesis import strategies as st

from pipeline import seeds

Names = st.lists(st.one_of(st.integers(-5, 5), st.text(max_size=4)), max_size=4)


def test_a_seed_is_the_hash_of_the_names_written_as_json() -> None:
    """The first 8 bytes of SHA-256 of ``[7,"image","bag",3]``, read as a big-endian number and halved."""
    expected = int(hashlib.sha256(b'[7,"image","bag",3]').hexdigest()[:16], 16) // 2
    assert seeds.derive(7, "image", "bag", 3) == expected


@given(st.integers(-(2**70), 2**70), Names)
def test_a_seed_fits_torch_and_numpy(seed: int, names: list[str | int]) -> None:
    assert 0 <= seeds.derive(seed, *names) < 2**63


@given(Names, Names)
def test_different_names_give_different_seeds(one: list[str | int], other: list[str | int]) -> None:
    assert (seeds.derive(1, *one) == seeds.derive(1, *other)) == (one == other)


def test_names_do_not_run_together_and_a_number_is_not_its_text() -> None:
    seen = {
        seeds.derive(1, "ab", "c"),
        seeds.derive(1, "a", "bc"),
        seeds.derive(1, "abc"),
        seeds.derive(1, "1"),
        seeds.derive(1, 1),
        seeds.derive(11),
        seeds.derive(1, "\u00e9"),
        seeds.derive(1, "e\u0301"),
    }
    assert len(seen) == 8


def test_generators_of_equal_names_draw_equal_numbers() -> None:
    first, again = seeds.generator(3, "a"), seeds.generator(3, "a")
    assert (first.integers(0, 2**62, 50) == again.integers(0, 2**62, 50)).all()
    assert (seeds.generator(3, "a").integers(0, 2**62, 50) != seeds.generator(3, "b").integers(0, 2**62, 50)).all()
