"""An image is embedded once, whoever asks, and whatever happens to the file."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import ArtifactError
from pipeline.evaluation import embeddings
from pipeline.evaluation.embeddings import Store
from pipeline.evaluation.extractors import Features, Pixels
from pipeline.evaluation.pixels import identities


class Moments:
    """Mean, spread and first byte of an image; it counts the images that it is given."""

    name, dimension = "moments", 3

    def __init__(self, digest: str = "d" * 64) -> None:
        self.digest, self.seen = digest, 0

    def features(self, images: Pixels) -> Features:
        self.seen += len(images)
        flat = images.reshape(len(images), 48).astype(np.float32)
        return np.stack([flat.mean(axis=1), flat.std(axis=1), flat[:, 0]], axis=1)


def draw(count: int, seed: int = 0, side: int = 4) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


@pytest.fixture
def extractor() -> Moments:
    return Moments()


def test_an_identity_is_the_images_pixels_and_its_shape() -> None:
    images = draw(3)
    assert len(set(identities(images).tolist())) == 3
    assert np.array_equal(identities(images[::-1]), identities(images)[::-1])
    assert np.array_equal(identities(images[:, ::-1, ::-1][:, ::-1, ::-1]), identities(images))
    assert identities(images.reshape(3, 2, 8, 3))[0] != identities(images)[0]
    assert identities(images[:0]).shape == (0,)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 30), max_size=20), max_size=5), st.integers(1, 6), st.integers(1, 6))
def test_any_requests_give_the_features_in_order_and_embed_each_image_once(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    asked: list[list[int]],
    together: int,
    rows: int,
) -> None:
    monkeypatch.setattr(embeddings, "_AT_A_TIME", together)
    monkeypatch.setattr(embeddings, "_ROWS", rows)
    extractor, images = Moments(), draw(31)
    folder = tmp_path_factory.mktemp("store")
    for some in asked:
        found = Store(folder, extractor).features(images[some])
        assert np.array_equal(found, Moments().features(images[some]))
        assert found.dtype == np.float32
    assert extractor.seen == len({index for some in asked for index in some})


def test_what_a_killed_process_wrote_is_kept(
    extractor: Moments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write has 2 images; the third stop is a kill, so 4 are there and 3 of 7 are left."""
    monkeypatch.setattr(embeddings, "_AT_A_TIME", 2)
    monkeypatch.setattr(embeddings, "_SECONDS", -1.0)
    images, compute = draw(7), extractor.features

    def killed(some: Pixels) -> Features:
        if extractor.seen == 4:
            raise KeyboardInterrupt
        return compute(some)

    monkeypatch.setattr(extractor, "features", killed)
    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path, extractor).features(images)
    other = Moments()
    assert np.array_equal(Store(tmp_path, other).features(images), Moments().features(images))
    assert other.seen == 3
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".lock", ".parquet"]


def damaged(path: Path) -> Iterator[bytes]:
    """Yield versions of a file that are none: empty, half, no Parquet, one bit of the features flipped."""
    whole = path.read_bytes()
    place = pq.ParquetFile(path).metadata.row_group(0).column(1).data_page_offset + 60
    yield from (
        b"",
        whole[: len(whole) // 2],
        b"text" * 100,
        whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
    )


def test_a_damaged_file_is_made_again_and_it_is_said(
    extractor: Moments, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, store = draw(20), Store(tmp_path, extractor)
    expected = store.features(images)
    for number, content in enumerate(damaged(store.path), 1):
        store.path.write_bytes(content)
        capsys.readouterr()
        assert np.array_equal(store.features(images), expected)
        assert capsys.readouterr().err.startswith(f"{store.path} is damaged; its images are embedded again\n")
        assert extractor.seen == 20 * (number + 1)
    assert np.array_equal(store.features(images), expected)


def test_another_version_of_an_extractor_has_another_file(tmp_path: Path) -> None:
    old, new = Moments("1" * 64), Moments("2" * 64)
    for extractor in (old, new, old):
        Store(tmp_path, extractor).features(draw(2))
    assert (old.seen, new.seen) == (2, 2)


def test_two_at_once_embed_each_image_once(
    extractor: Moments, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second waits for the lock, which the first holds, and finds what the first added."""
    store, images = Store(tmp_path, extractor), draw(10)
    store.features(images[:1])
    lock = os.open(store.path.with_suffix(".lock"), os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    found: list[Features] = []
    threads = [threading.Thread(target=lambda: found.append(store.features(images))) for _ in range(2)]
    for thread in threads:
        thread.start()
    before = time.monotonic()
    while "waiting for another process" not in capsys.readouterr().err:
        assert time.monotonic() - before < 300
    os.close(lock)
    for thread in threads:
        thread.join()
    assert extractor.seen == 10
    assert all(np.array_equal(one, Moments().features(images)) for one in found)


def test_a_place_that_cannot_be_used_is_an_error(extractor: Moments, tmp_path: Path) -> None:
    store = Store(tmp_path / "folder", extractor)
    store.path.mkdir(parents=True)
    with pytest.raises(ArtifactError, match="damaged, and cannot be deleted"):
        store.features(draw(1))
    store.path.rmdir()
    store.path.with_suffix(".lock").mkdir()
    with pytest.raises(ArtifactError, match="cannot lock"):
        store.features(draw(1))
