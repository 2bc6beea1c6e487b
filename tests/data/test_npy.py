"""Arrays in files, and what only looks like one."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.data import arrays, npy
from pipeline.data.arrays import Stored


def header(shape: tuple[int, ...], kind: str = "<i8") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def test_an_array_is_read_and_mapped(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for made in (np.arange(12).reshape(3, 4), np.empty((0, 4), np.uint8), np.float32(1.5).reshape(())):
        np.save(path, made)
        assert np.array_equal(npy.whole(path), made)
        copied = npy.mapped(path, "c")
        copied[...] = 0
        assert np.array_equal(npy.whole(path), made)


@pytest.mark.parametrize(
    "content",
    [
        header((10**12,)),
        header((10**12,)) + bytes(8_000),
        header((2**62, 2**62)),
        header((4,)) + bytes(31),
        header((1,), "|O") + bytes(8),
        b"",
        b"\x93NUMPY\x01\x00\x10\x27" + b"(" * 10_000,
        b"\x93NUMPY\x01\x00\x10\x00{'descr': '<i8'}",
        b"PK\x03\x04" + bytes(100),
        b"text",
    ],
)
def test_what_is_no_array_is_refused_before_memory_is_taken(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    for read in (npy.whole, npy.mapped):
        with pytest.raises((ValueError, OSError)):
            read(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_other_bytes_in_a_header_are_an_array_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path, content = tmp_path / "a.npy", header((3,)) + bytes(24)
    at = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:at] + data.draw(st.binary(max_size=20)) + content[at + data.draw(st.integers(0, 20)) :])
    with contextlib.suppress(ValueError, OSError):
        assert npy.whole(path).nbytes <= path.stat().st_size


@pytest.mark.parametrize("ending", [".npy", ".labels.npy"])
def test_a_cached_array_whose_header_lies_is_made_again(
    tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.array([1, 0])

    def make() -> Stored:
        return arrays.store(tmp_path, "name", labels, 2, lambda: [np.full((2, 2, 2, 3), 7, np.uint8)])

    made = make()
    kind = "|u1" if ending == ".npy" else "<i8"
    made.path.with_suffix(ending).write_bytes(header((10**12, 2, 2, 3) if ending == ".npy" else (10**12,), kind))
    assert make().pixels.tolist() == np.full((2, 2, 2, 3), 7).tolist()
    assert "is damaged; its images are decoded again" in capsys.readouterr().err
