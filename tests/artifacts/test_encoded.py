"""What is opened as a synthetic image, and what is not."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.artifacts.encoded import LARGEST, Encoding
from tests.synthetic import declared, png

KINDS = ("png", "jpeg", "webp")


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_of_its_encoding_is_decoded(kind: str) -> None:
    image = png(3, 16, kind)
    with Image.open(io.BytesIO(image)) as opened:
        expected = opened.convert("RGB").tobytes()
    assert Encoding(kind, 16).decode(image).tobytes() == expected
    for other in set(KINDS) - {kind}:
        with pytest.raises(ValueError, match=f"cannot be read as {other}"):
            Encoding(other, 16).decode(image)


@pytest.mark.parametrize("kind", KINDS)
def test_the_noisiest_image_is_within_the_limit(kind: str) -> None:
    """Random pixels at the best quality."""
    for side in (1, 16, 200):
        picture = Image.effect_noise((side, side), 100).convert("RGB")
        image = saved(picture, kind, **({} if kind == "png" else {"quality": 100}))
        assert len(image) < Encoding(kind, side).most_bytes / 2
        Encoding(kind, side).decode(image)


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_an_image_is_refused(kind: str) -> None:
    image = png(3, 64, kind)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(ValueError, match=f"as {kind}"):
            Encoding(kind, 64).decode(image[: int(len(image) * share)])


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"", "is no image"),
        (b"text", "cannot be read as png"),
        (declared(13_000), "measures 13000 x 13000 pixels, not 16 x 16"),
        (declared(2**31 - 1), "measures"),
        (png(0)[:-30], "as png"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n", "cannot be read as png"),
        (saved(Image.new("RGB", (16, 16)), "GIF"), "cannot be read as png"),
        (saved(Image.new("RGB", (16, 17)), "PNG"), "measures 16 x 17 pixels"),
        (saved(Image.new("RGBA", (16, 16)), "PNG"), "of mode RGBA and not RGB"),
        (saved(Image.new("I;16", (16, 16)), "PNG"), "of mode I;16 and not RGB"),
        (png(0) + bytes(70_000), "takes 70,8.. bytes, and at most 67,072 are read"),
        (
            saved(Image.new("RGB", (16, 16)), "PNG", save_all=True, append_images=[Image.new("RGB", (16, 16), "red")]),
            "is animated",
        ),
    ],
)
def test_anything_else_is_refused_with_one_reason(image: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Encoding("png", 16).decode(image)


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_image_declares_can_be_checked_alone(kind: str) -> None:
    """The first half of a PNG or a JPEG declares what the whole one does."""
    image = png(3, 64, kind)
    Encoding(kind, 64).check(image)
    if kind != "webp":
        Encoding(kind, 64).check(image[: len(image) // 2])
    other_kind = png(3, 64, "png" if kind == "jpeg" else "jpeg")
    for other in (b"", b"text", png(3, 63, kind), image + bytes(100_000), other_kind):
        with pytest.raises(ValueError, match=r"measures|bytes|cannot be read|is no image"):
            Encoding(kind, 64).check(other)


def test_what_a_database_returns_for_an_image_is_not_always_bytes() -> None:
    for value in ("text", 5, None, 0.5):
        with pytest.raises(ValueError, match="is no image"):
            Encoding("png", 16).decode(value)  # type: ignore[arg-type]


@given(st.binary(max_size=300), st.sampled_from(KINDS), st.integers(0, 400), st.booleans())
def test_any_bytes_are_an_image_or_one_reason(noise: bytes, kind: str, at: int, whole: bool) -> None:
    """Noise alone, and noise within an image."""
    image = png(5, 16, kind)
    for content in (noise, image[:at] + noise + image[at + (0 if whole else len(noise)) :]):
        try:
            assert Encoding(kind, 16).decode(content).size == (16, 16)
        except ValueError:
            continue


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"image_format": "eps", "image_size": 16},
        {"image_format": ["png"], "image_size": 16},
        {"image_format": "png", "image_size": 16.0},
        {"image_format": "png", "image_size": True},
        {"image_format": "png", "image_size": 0},
        {"image_format": "png", "image_size": LARGEST + 1},
    ],
)
def test_a_recipe_that_names_no_encoding(recipe: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="its image_"):
        Encoding.of(recipe)
