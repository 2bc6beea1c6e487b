from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.clients import assignment
from pipeline.errors import ParameterError


def read(path: Path) -> assignment.Assignment:
    return assignment.read(path, path.name)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "owners.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_csv_file_as_a_spreadsheet_writes_it(tmp_path: Path) -> None:
    """With a byte order mark, other columns, quotes, an empty line."""
    path = written(tmp_path, '\ufeffclient,note,file\r\nann,"x, y",cat/1.png\r\n\r\n 7 ,,"b, c.png"\r\n')
    found = read(path)
    assert (found.kind, found.keys, found.clients) == ("file", ["cat/1.png", "b, c.png"], ["ann", "7"])
    assert found.where(1) == "owners.csv, line 4"


@pytest.mark.parametrize("clients", [["a", "b"], [3, 1]])
def test_a_parquet_file(tmp_path: Path, clients: list[Any]) -> None:
    pq.write_table(pa.table({"row": [5, 2], "client": clients}), tmp_path / "owners.parquet")
    found = read(tmp_path / "owners.parquet")
    assert (found.kind, found.keys, found.clients) == ("row", ["5", "2"], [str(client) for client in clients])
    assert found.where(1) == "owners.parquet, row 1"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "has the columns none: owners.csv: the file needs"),
        ("row;client\n1;2\n", "has the columns row;client: owners.csv"),
        ("row,file,client\n1,a,2\n", "has the columns row, file, client: owners.csv"),
        ("row,client,client\n1,2,3\n", "has the columns row, client, client"),
        ("row,client\n", "lists no image: owners.csv"),
        ("row,client\n1,2\n3\n", "1 cells, but 2 columns: owners.csv, line 3"),
        ("row,client\n1,2\n3,\n", "no client: owners.csv, line 3: leave out the whole line"),
        ("row,client\n,2\n", "no row: owners.csv, line 2"),
        ("row,client\n1,-1\n", "'-1' is no client: owners.csv, line 2: clients are whole numbers from 0, or names"),
        ("row,client\n1,1.5\n", "'1.5' is no client"),
        ("row,client\n1,nan\n", "'nan' is no client"),
        (b"row,client\n1,\xff\n", "cannot be read .*utf-8"),
        ('row,client\n1,"a\n', "cannot be read .*unexpected end of data"),
    ],
)
def test_a_csv_file_that_does_not_say_who_holds_what_is_refused(
    tmp_path: Path, content: str | bytes, match: str
) -> None:
    with pytest.raises(ParameterError, match=match):
        read(written(tmp_path, content))


def test_other_files_and_types_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    pq.write_table(pa.table({"row": [1.0], "client": [1]}), tmp_path / "float.parquet")
    pq.write_table(pa.table({"row": [1, 2], "client": [1, None]}), tmp_path / "null.parquet")
    for name, match in {
        "missing.csv": "no such file: params.yaml, partition.assignment = missing.csv",
        "owners.txt": "is no .csv or .parquet file: owners.txt",
        "bad.parquet": "cannot be read",
        "float.parquet": "column 'row' is of type double: float.parquet: write whole numbers or texts",
        "null.parquet": "no client: null.parquet, row 1",
    }.items():
        with pytest.raises(ParameterError, match=match):
            read(tmp_path / name)
