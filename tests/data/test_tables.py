"""Tables that other programs wrote: pictures as files, bytes, paths and pixels; what a row may name."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import images, tables
from pipeline.data.hub_rows import HubRows
from pipeline.errors import DataError
from tests.data.reading import params, png, save, table

LEVELS = np.random.default_rng(3).integers(0, 256, (2, 5, 5, 3)).astype(np.uint8)


def pixels(folder: Path, **others: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    found = images.load(params(folder, **others), "train")
    return found.pixels(range(len(found)))


def as_files() -> list[bytes]:
    from PIL import Image

    from tests.data.files import encoded

    return [encoded(Image.fromarray(levels)) for levels in LEVELS]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"bytes": one, "path": None} for one in as_files()]),
        pa.array([{"bytes": one, "path": "/home/x/1.png"} for one in as_files()]),
        pa.array([{"bytes": one} for one in as_files()]),
        pa.array(as_files()),
        pa.array(as_files(), pa.large_binary()),
        pa.array(as_files()).dictionary_encode(),
        pa.array(LEVELS.tolist()),
        pa.array(LEVELS.tolist(), pa.list_(pa.list_(pa.list_(pa.uint8(), 3), 5), 5)),
        pa.array(LEVELS.tolist(), pa.large_list(pa.large_list(pa.large_list(pa.int32())))),
    ],
    ids=["struct", "struct with path", "bytes only", "binary", "large", "coded", "lists", "fixed", "large lists"],
)
def test_pictures_of_any_kind_of_column(tmp_path: Path, column: pa.Array) -> None:
    table(tmp_path / "train.parquet", column, [0, 1])
    assert np.array_equal(pixels(tmp_path), LEVELS)


def test_arrays_that_datasets_wrote(tmp_path: Path) -> None:
    from datasets import Array2D, Array3D, Dataset, Features, Value

    for name, feature, levels in (
        ("grey", Array2D((5, 5), "uint8"), LEVELS[..., 0]),
        ("colour", Array3D((5, 5, 3), "uint8"), LEVELS),
    ):
        rows = {"image": levels.tolist(), "label": [0, 1]}
        (tmp_path / name).mkdir()
        features = Features({"image": feature, "label": Value("int64")})
        Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / name / "train.parquet"))
        expected = levels if levels.ndim == 4 else np.repeat(levels[..., None], 3, 3)
        assert np.array_equal(pixels(tmp_path / name), expected)


@pytest.mark.parametrize(
    ("column", "what"),
    [
        ([[[0.5, 1.0]], [[0.1, 0.2]]], "pixels of type double"),
        ([[[0, 256]], [[0, 256]]], "pixels from 0 to 256"),
        ([[[-1, 25]], [[-1, 25]]], "pixels from -1 to 25"),
        ([[[1, 2], [3]], [[1, 2], [3]]], "lines of pixels of different lengths"),
        ([[[1, None]], [[1, None]]], "pixels that are null"),
        ([[None, [1]], [None, [1]]], "pixels that are null"),
        ([[[]], [[]]], r"an array of shape \(1, 0\)|pixels of type null"),
        (np.zeros((2, 3, 8, 8), np.uint8).tolist(), r"an array of shape \(3, 8, 8\)"),
        ([b"no picture", b""], "not a picture"),
    ],
)
def test_what_is_no_picture_is_one_line_with_its_row(tmp_path: Path, column: Any, what: str) -> None:
    table(tmp_path / "train.parquet", column, [0, 1])
    found = images.load(params(tmp_path, image_size=4), "train")
    with pytest.raises(DataError, match=rf"^{what}.*: train.parquet row 1: "):
        found.read(1)
    with pytest.raises(DataError, match=rf"no picture can be decoded \({what}.*\): train.parquet row 0: "):
        images.load(params(tmp_path), "train")


def test_null_rows(tmp_path: Path) -> None:
    table(
        tmp_path / "train.parquet", [None, {"bytes": None, "path": None}, {"bytes": png("red"), "path": ""}], [0, 1, 2]
    )
    found = images.load(params(tmp_path), "train")
    assert found.image_size == 16
    for row in (0, 1):
        with pytest.raises(
            DataError, match=rf"no picture \(null\): train.parquet row {row}: fill it or remove the row"
        ):
            found.read(row)
    assert found.read(2).size == (16, 16)


def test_paths_below_the_data_set(tmp_path: Path) -> None:
    save(tmp_path / "pictures" / "a.png", "red")
    save(tmp_path / "pictures" / "b.png", "lime")
    names = ["pictures/a.png", "pictures/b.png"]
    table(tmp_path / "train.parquet", names, [0, 1])
    table(tmp_path / "test.parquet", [{"bytes": None, "path": name} for name in names], [0, 1])
    splits = [images.load(params(tmp_path), split) for split in ("train", "test")]
    for split in splits:
        assert split.pixels([0, 1]).argmax(axis=3)[:, 0, 0].tolist() == [0, 1]
    before = [split.fingerprint for split in splits]
    save(tmp_path / "pictures" / "b.png", "blue")
    after = [images.load(params(tmp_path), split).fingerprint for split in ("train", "test")]
    assert not set(before) & set(after)


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../outside.png", "a/../../outside.png", "http://127.0.0.1:9/x.png", "file:///etc/passwd", "a\0b"],
)
@pytest.mark.parametrize("struct", [True, False])
def test_a_row_opens_nothing_outside_the_data_set(tmp_path: Path, name: str, struct: bool) -> None:
    save(tmp_path / "outside.png", "red")
    chosen = str(tmp_path / "outside.png") if name == "/etc/passwd" else name
    folder = table(tmp_path / "set" / "train.parquet", [{"bytes": None, "path": chosen}] if struct else [chosen], [0])
    found = images.load(params(folder, image_size=4), "train")
    with pytest.raises(
        DataError, match=r"the row names .*, which is not below the data set's folder: train.parquet row 0"
    ):
        found.read(0)
    assert found.fingerprint


def test_a_missing_file_of_a_row(tmp_path: Path) -> None:
    table(tmp_path / "train.parquet", ["gone.png"], [0])
    with pytest.raises(DataError, match=r"the row names 'gone.png': there is no such file"):
        images.load(params(tmp_path, image_size=4), "train").read(0)


def test_several_picture_columns_are_asked_about(tmp_path: Path) -> None:
    table(tmp_path / "train.parquet", [png("red")], [0], thumb=[png("lime")], file=["1.png"])
    with pytest.raises(
        DataError, match=r"2 columns could be it \(image, thumb\): params.yaml, data.image_column: name"
    ):
        images.load(params(tmp_path), "train")
    assert pixels(tmp_path, image_column="thumb")[0, 0, 0].tolist() == [0, 255, 0]
    with pytest.raises(DataError, match=r"column 'label' holds int64, no pictures: split 'train', data.image_column"):
        images.load(params(tmp_path, image_column="label"), "train")


def test_columns_are_those_of_the_training_split(tmp_path: Path) -> None:
    table(tmp_path / "train.parquet", [png("red")], [0], domain=["photo"], place=pa.array(["x"]).dictionary_encode())
    table(tmp_path / "test.parquet", [png("red")], [0], thumb=[png("lime")], domain=[None])
    train, test = (images.load(params(tmp_path), split) for split in ("train", "test"))
    assert train.columns == ("label", "domain", "place")
    assert [train.column(name).tolist() for name in train.columns] == [[0], ["photo"], ["x"]]
    assert test.column("domain").tolist() == [None]
    assert test.read(0).image.getpixel((0, 0)) == (255, 0, 0)
    with pytest.raises(DataError, match="no column 'writer': the data set: the columns are label, domain, place"):
        train.column("writer")


def test_a_class_label_column_gives_names(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Image

    features = Features({"image": Image(), "label": ClassLabel(names=["cat"]), "place": ClassLabel(names=["x", "y"])})
    rows = {"image": [{"bytes": png("red"), "path": None}] * 2, "label": [0, 0], "place": [1, -1]}
    Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "train.parquet"))
    with pytest.raises(DataError, match=r"2 columns could be it \(label, place\): params.yaml, data.label_column"):
        images.load(params(tmp_path), "train")
    assert images.load(params(tmp_path, label_column="label"), "train").column("place").tolist() == ["y", -1]


def test_files_with_other_columns_or_names_are_refused(tmp_path: Path) -> None:
    table(tmp_path / "train-0.parquet", [png("red")], [0])
    table(tmp_path / "train-1.parquet", [png("red")], [0], more=[1])
    with pytest.raises(DataError, match=r"its columns or class names differ from those of train-0.parquet: .*train-1"):
        images.load(params(tmp_path), "train")


@settings(max_examples=settings().max_examples // 4)
@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=3), st.integers(1, 4), st.lists(st.integers(0, 100), max_size=8)
)
def test_rows_of_many_files_and_groups_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], group: int, order: list[int]
) -> None:
    """Row i of all has the level i, however the rows are cut into files and groups."""
    folder, level = tmp_path_factory.mktemp("many"), 0
    for i, length in enumerate(lengths):
        cells = [[[level + j]] for j in range(length)]
        made = pa.table({"image": pa.array(cells, pa.list_(pa.list_(pa.uint8()))), "label": [0] * length})
        pq.write_table(made, folder / f"train-{i}.parquet", row_group_size=group)
        level += length
    found = images.load(params(folder), "train")
    rows = [row % level for row in order]
    assert found.pixels(rows)[:, 0, 0, 0].tolist() == rows
    assert found.name(level - 1) == f"train-{len(lengths) - 1}.parquet row {lengths[-1] - 1}"


def test_few_row_groups_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_HELD", 1)
    made = pa.table({"image": [png((i, 0, 0)) for i in range(6)], "label": [0] * 6})
    pq.write_table(made, tmp_path / "train.parquet", row_group_size=2)
    found = images.load(params(tmp_path), "train")
    assert found.pixels([5, 0, 3, 2])[:, 0, 0, 0].tolist() == [5, 0, 3, 2]
    assert isinstance(found.source, tables.ParquetRows)
    assert len(found.source._groups) == 1


def test_one_picture_a_thousand_times_takes_the_memory_of_one(tmp_path: Path) -> None:
    content = png("red") + bytes(400_000)
    made = pa.table({"image": pa.array([{"bytes": content}] * 200), "label": [0] * 200})
    pq.write_table(made, tmp_path / "train.parquet")
    before = pa.total_allocated_bytes()
    found = images.load(params(tmp_path), "train")
    assert found.pixels(range(0, 200, 50)).shape == (4, 16, 16, 3)
    assert pa.total_allocated_bytes() - before < 16 << 20


def test_a_small_file_of_very_many_rows_is_refused(tmp_path: Path) -> None:
    made = pa.table({"image": pa.nulls(10**6, pa.binary()), "label": np.zeros(10**6, np.int8)})
    pq.write_table(made, tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"1000000 rows in [0-9]+ bytes"):
        images.load(params(tmp_path), "train")


def test_a_compressed_arrow_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    made = pa.table({"image": [bytes(10**6)], "label": [0]})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(folder / "data.arrow", made.schema, options=options) as writer:
        writer.write_table(made)
    (folder / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    with pytest.raises(DataError, match=r"compressed: .*data.arrow: save the data set again"):
        images.load(params(tmp_path), "train")


def test_processes_get_no_pictures(tmp_path: Path) -> None:
    """A split is sent to them as names of files, whatever was read of it before."""
    table(tmp_path / "train.parquet", [np.random.default_rng(0).bytes(1 << 20) + png("red")] * 2, [0, 1])
    found = images.load(params(tmp_path, image_size=4), "train")
    with pytest.raises(DataError):
        found.read(0)
    sent = pickle.dumps(found)
    assert len(sent) < 10_000
    assert pickle.loads(sent).labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    "metadata", [b"no JSON", b"[]", b'{"info": 5}', b'{"info": {"features": {"label": {"_type": 5}}}}']
)
def test_foreign_metadata_is_ignored(tmp_path: Path, metadata: bytes) -> None:
    made = pa.table({"image": [png("red")], "label": [0]}).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(made, tmp_path / "train.parquet")
    assert images.load(params(tmp_path), "train").class_names == ("0",)


def test_rows_of_the_hub(tmp_path: Path) -> None:
    """As ``load_dataset`` keeps them: the class, since the Hub itself is not at hand."""
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    stored = [png((i, 0, 0)) for i in range(3)]
    rows = {"image": [{"bytes": one, "path": "x.png"} for one in stored], "label": [1, 0, 1]}
    (tmp_path / "hub").mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "hub" / "train.parquet"))
    made = datasets.load_dataset(str(tmp_path / "hub"), split="train", cache_dir=str(tmp_path / "kept"))
    source = HubRows(made, "train")
    assert source.columns["label"].names == ("cat", "dog")
    assert source.content("image", 2) == stored[2]
    assert source.values("label").to_pylist() == [1, 0, 1]
    assert source.name(2) == "split train row 2"
    assert source.digests("image") == HubRows(made, "train").digests("image")
    sent = pickle.loads(pickle.dumps(source))
    assert sent.content("image", 1) == stored[1]
    assert len(HubRows(made.select(range(2)), "train[:2]")) == 2


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_any_damage_to_a_table_is_one_line(tmp_path: Path, kind: str) -> None:
    """Changed bytes, most of them where a table says what it holds: read whole, or refused."""
    from datasets import Dataset, DatasetDict

    stored = [{"bytes": png((i, 0, 0)), "path": "x"} for i in range(4)]
    rows = {"image": stored, "label": ["a", "b", "a", "b"], "place": ["u", "v", "u", "v"]}
    if kind == "arrow":
        DatasetDict(train=Dataset.from_dict(rows)).save_to_disk(str(tmp_path))
        [file] = (tmp_path / "train").glob("*.arrow")
    else:
        file = tmp_path / "train.parquet"
        pq.write_table(pa.table(rows), file)
    content, rng = file.read_bytes(), np.random.default_rng(7)
    refused = 0
    for _ in range(150):
        changed = bytearray(content)
        for start in rng.choice([0, max(0, len(content) - 1200)], rng.integers(1, 4)):
            changed[rng.integers(start, len(content))] = rng.integers(256)
        file.unlink()  # an older mapping keeps what it mapped
        file.write_bytes(changed)
        try:
            found = images.load(params(tmp_path, image_size=4), "train")
            assert found.fingerprint
            assert len(found.column("place")) == len(found) == len(found.labels)
            found.pixels(range(len(found)))
        except DataError:
            refused += 1
    assert refused > 50
