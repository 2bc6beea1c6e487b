import hashlib
import io
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.artifacts import shards
from pipeline.artifacts.manifest import File, Manifest, Shard, file_name
from pipeline.artifacts.spec import ImageSpec
from pipeline.data import arrays
from pipeline.errors import ArtifactError

FOLDER = Path("arrays")
NAMES = ("ankle boot", "bag", "coat")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shard(client: int, greys: list[int], side: int = 4, parts: int = 1) -> Shard:
    """Write a shard of one-coloured pictures, spread over files; the label is the grey level modulo 3."""

    def rows(some: list[int]) -> Iterator[shards.Row]:
        for i, grey in enumerate(some):
            buffer = io.BytesIO()
            Image.new("RGB", (side, side), (grey,) * 3).save(buffer, "PNG")
            name = NAMES[grey % 3]
            described = ImageSpec(
                lane="0", class_name=name, index=i, prompt="", negative_prompt="", guidance=1.0, seed=i, retry=0
            )
            yield shards.row_of(buffer.getvalue(), grey % 3, client, "", "r", described)

    header = {"client": client, "recipe": "r", "plan": "p"}
    files = list[File]()
    for part, some in enumerate(np.array_split(greys, parts)):
        place = [Path("data/shards", file_name(client, part))].__getitem__
        files += [File.of(*made) for made in shards.write(place, rows(some.tolist()), NAMES, header, 10**9)]
    counts = tuple(sum(grey % 3 == label for grey in greys) for label in range(3))
    return Shard(client, "p", counts, tuple(files))


def manifest(*written: Shard, side: int = 4) -> Manifest:
    return Manifest("r", {"image_format": "png", "image_size": side}, "own", NAMES, written)


def test_arrays_that_are_shared_cannot_be_written_through() -> None:
    stored = arrays.store(FOLDER, "key", np.array([1, 0, 2]), 2, three)
    pixels = stored.pixels
    pixels[:] = 0
    assert stored.pixels.any()


def test_synthetic_images_lie_in_order_of_client_at_the_real_size() -> None:
    made = manifest(shard(0, [10, 20], side=8), shard(1, []), shard(2, [30], side=8), side=8)
    stored = arrays.synthetic(FOLDER, made, 4)
    assert stored.pixels[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert stored.pixels.shape == (3, 4, 4, 3)
    assert stored.labels.tolist() == [1, 2, 0]
    again = arrays.synthetic(FOLDER, made, 4)
    assert (again.path, again.labels.tolist()) == (stored.path, [1, 2, 0])
    assert arrays.synthetic(FOLDER, made, 8).path != stored.path
    assert arrays.synthetic(
        FOLDER, manifest(shard(0, [10, 21], side=8), *made.shards[1:], side=8), 4
    ).labels.tolist() == [1, 0, 0]


def test_the_files_of_a_shard_are_read_one_after_another() -> None:
    """The same images in other files are another array; each file's bytes count."""
    made = manifest(shard(0, [10, 20, 30, 40, 50], parts=2), shard(1, [60]))
    assert [file.rows for file in made.shards[0].files] == [3, 2]
    stored = arrays.synthetic(FOLDER, made, 4)
    assert stored.pixels[:, 0, 0, 0].tolist() == [10, 20, 30, 40, 50, 60]
    assert stored.labels.tolist() == [1, 2, 0, 1, 2, 0]
    again = manifest(shard(0, [10, 20, 30, 40, 51], parts=2), made.shards[1])
    assert again.shards[0].files[0] == made.shards[0].files[0]
    assert arrays.synthetic(FOLDER, again, 4).pixels[:, 0, 0, 0].tolist() == [10, 20, 30, 40, 51, 60]
    made.paths(made.shards[0])[1].unlink()
    with pytest.raises(ArtifactError, match=r"shard missing: .*client-00000.part-001.parquet"):
        arrays.synthetic(FOLDER, again, 4)


def test_no_synthetic_image_at_all() -> None:
    stored = arrays.synthetic(FOLDER, manifest(shard(0, [])), 4)
    assert stored.pixels.shape == (0, 4, 4, 3)
    assert len(stored) == 0


def test_shards_are_checked_even_if_the_array_is_there() -> None:
    made = manifest(shard(0, [10]))
    arrays.synthetic(FOLDER, made, 4)
    shard(0, [11])
    with pytest.raises(ArtifactError, match="shard differs from the manifest"):
        arrays.synthetic(FOLDER, made, 4)


def test_a_manifest_with_a_wrong_count_leaves_no_array() -> None:
    right = shard(0, [10])
    made = manifest(replace(right, files=(replace(right.files[0], rows=2),)))
    with pytest.raises(ArtifactError, match=r"not a shard \(1 rows, not 2\)"):
        arrays.synthetic(FOLDER, made, 4)
    assert not FOLDER.exists()


def test_an_interrupted_array_is_made_again() -> None:
    labels = np.array([1, 0])

    def broken() -> Iterable[NDArray[np.uint8]]:
        yield np.full((1, 2, 2, 3), 7, np.uint8)
        raise KeyError

    def whole() -> Iterable[NDArray[np.uint8]]:
        yield np.full((1, 2, 2, 3), 7, np.uint8)
        yield np.full((1, 2, 2, 3), 9, np.uint8)

    with pytest.raises(KeyError):
        arrays.store(FOLDER, "key", labels, 2, broken)
    assert list((FOLDER).iterdir()) == []
    assert arrays.store(FOLDER, "key", labels, 2, whole).pixels[:, 0, 0, 0].tolist() == [7, 9]


def three() -> list[NDArray[np.uint8]]:
    return [np.full((2, 2, 2, 3), 7, np.uint8), np.full((1, 2, 2, 3), 9, np.uint8)]


@pytest.mark.parametrize("part", ["pixels", "labels"])
@pytest.mark.parametrize("rest", [0, 7, 100, 130])
def test_a_truncated_array_is_decoded_anew_and_says_so(
    capsys: pytest.CaptureFixture[str], part: str, rest: int
) -> None:
    """Within its mark, its header and its numbers; the array is 128 + 36 bytes, the labels are 128 + 24."""
    stored = arrays.store(FOLDER, "key", np.array([1, 0, 2]), 2, three)
    damaged = {"pixels": stored.path, "labels": stored.path.with_suffix(".labels.npy")}[part]
    whole = damaged.read_bytes()
    assert len(whole) == {"pixels": 164, "labels": 152}[part]
    damaged.write_bytes(whole[:rest])
    again = arrays.store(FOLDER, "key", np.array([1, 0, 2]), 2, three)
    assert capsys.readouterr().err == f"{stored.path} is damaged; its images are decoded again\n"
    assert damaged.read_bytes() == whole
    assert again.pixels[:, 0, 0, 0].tolist() == [7, 7, 9]
    assert again.labels.tolist() == [1, 0, 2]


def test_an_array_without_its_labels_is_made_again() -> None:
    stored = arrays.store(FOLDER, "key", np.array([1, 0, 2]), 2, three)
    stored.path.with_suffix(".labels.npy").unlink()
    assert arrays.store(FOLDER, "key", np.array([1, 0, 2]), 2, three).labels.tolist() == [1, 0, 2]


def test_what_is_written_is_what_numpy_reads_and_writes() -> None:
    stored = arrays.store(FOLDER, "key", np.array([1, 0, 2]), 2, three)
    buffer = io.BytesIO()
    np.save(buffer, np.concatenate(three()))
    assert stored.path.read_bytes() == buffer.getvalue()


def test_a_cache_that_is_no_folder_is_one_line() -> None:
    FOLDER.write_text("a file")
    with pytest.raises(ArtifactError, match=r"^cannot write \(.*\): .*arrays.*\.npy: ") as caught:
        arrays.store(FOLDER, "key", np.array([1, 0, 2]), 2, three)
    assert "\n" not in str(caught.value)


FULL = """
import sys
import numpy as np
from pathlib import Path
from pipeline.errors import ArtifactError
from pipeline.data import arrays
from pipeline.federated import state_file

images = np.ones((100, 32, 32, 3), np.uint8)  # 307,200 bytes
for write in (
    lambda: arrays.store(Path(sys.argv[1]) / "arrays", "key", np.arange(100), 32, lambda: np.split(images, 10)),
    lambda: state_file.write_arrays(Path(sys.argv[1]) / "weights", {"weights": np.ones(100_000, np.float32)}),
):
    try:
        write()
    except ArtifactError as error:
        print(error)
print([str(path) for path in Path(sys.argv[1]).rglob("*") if path.is_file()])
"""


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system of 200 kB, which only a namespace of its own may mount."""
    alone = [shutil.which("unshare") or "unshare", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespace can be made here")
    monkeypatch.chdir(Path(__file__).parents[2])
    place = tmp_path / "small"
    place.mkdir()
    mount = f'mount -t tmpfs -o size=200k none {place} && exec "$@"'
    command = [*alone, "sh", "-c", mount, "sh", sys.executable, "-c", FULL, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr)
    array, weights, left = done.stdout.splitlines()
    assert array.startswith("cannot write (No space left on device)")
    assert weights.startswith("cannot write (")
    assert "No space left on device" in weights
    assert f"): {place}/weights: make room" in weights
    assert left == "[]"


def test_content_is_known_whatever_it_was_made_from() -> None:
    """Equal pixels and labels have one digest, in whatever chunks they came; other labels or pixels have another."""
    labels = np.array([1, 0, 2])
    whole = np.concatenate(three())
    first = arrays.store(FOLDER, "a", labels, 2, three)
    assert first.content == hashlib.sha256(whole.tobytes() + labels.tobytes()).hexdigest()
    assert arrays.store(FOLDER, "b", labels, 2, lambda: [whole]).content == first.content
    assert arrays.store(FOLDER, "a", labels, 2, three).content == first.content
    assert arrays.store(FOLDER, "c", labels + 1, 2, three).content != first.content
    assert arrays.store(FOLDER, "d", labels, 2, lambda: [whole + 1]).content != first.content


def test_an_array_can_hold_fewer_images_than_were_expected() -> None:
    """Then its header names the images that it holds, and the file is what NumPy writes."""
    stored = arrays.make(FOLDER, "key", (123_456, 2), three(), lambda: np.array([1, 0, 2]))
    buffer = io.BytesIO()
    np.save(buffer, np.concatenate(three()))
    assert stored.path.read_bytes() == buffer.getvalue()
    found = arrays.find(FOLDER, "key", 2)
    assert found is not None
    assert (found.labels.tolist(), found.content) == ([1, 0, 2], stored.content)
    assert arrays.find(FOLDER, "key", 3) is None


def test_what_was_beside_an_older_array_goes() -> None:
    stored = arrays.store(FOLDER, "key", np.array([1, 0, 2]), 2, three)
    beside = stored.path.with_suffix(".json")
    beside.write_text("{}")
    stored.path.unlink()
    arrays.store(FOLDER, "key", np.array([1, 0, 2]), 2, three)
    assert not beside.exists()


def test_an_array_that_is_used_is_not_deleted() -> None:
    """Neither by the process that made it nor by one that found it; and a dry run deletes nothing."""
    made = arrays.store(FOLDER, "key", np.array([1, 0, 2]), 2, three)
    assert not arrays.delete(made.path)
    found = arrays.find(FOLDER, "key", 2)
    del made
    assert found is not None
    assert not arrays.delete(found.path)
    place = found.path
    del found
    assert arrays.delete(place, dry_run=True)
    assert [path.name for path in arrays.files(place)] == ["key.npy", "key.labels.npy", "key.sha256"]
    assert arrays.delete(place)
    assert list(FOLDER.iterdir()) == []
    assert not arrays.delete(place)


LOCKED = """
import sys
from pathlib import Path
from pipeline.data import arrays
print(arrays.delete(Path(sys.argv[1])))
"""


def test_an_array_that_another_process_uses_is_not_deleted() -> None:
    made = arrays.store(FOLDER, "key", np.array([1, 0, 2]), 2, three)
    command = [sys.executable, "-c", LOCKED, str(made.path.resolve())]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert (done.stdout, made.pixels[:, 0, 0, 0].tolist()) == ("False\n", [7, 7, 9])
