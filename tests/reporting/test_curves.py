import csv
from pathlib import Path

from pipeline.reporting import curves
from tests.reporting.histories import arm


def test_a_row_for_each_arm_and_tested_round_by_hand(tmp_path: Path) -> None:
    """Round 1: 0.2 and 0.4, mean 0.3. Round 2 was tested for seed 2 only. Untested rounds have no row.

    Each round moves 1,500 bytes.
    """
    path = tmp_path / "data" / "report.csv"
    curves.save(
        path,
        [
            arm({1: [0.2, None, 0.5], 2: [0.4, 0.12345, 0.5]}),
            arm({1: [None, 1 / 3]}, algorithm="moon", budget="steps", fill="a, b"),
        ],
    )
    assert path.read_text() == (
        "algorithm,budget,fill,round,accuracy,lowest,highest,seeds,megabytes\n"
        "fedavg,epochs,none,1,0.3,0.2,0.4,2,0.0015\n"
        "fedavg,epochs,none,2,0.1235,0.1235,0.1235,1,0.003\n"
        "fedavg,epochs,none,3,0.5,0.5,0.5,2,0.0045\n"
        'moon,steps,"a, b",2,0.3333,0.3333,0.3333,1,0.003\n'
    )


def test_more_fills_and_algorithms_add_rows_and_no_columns(tmp_path: Path) -> None:
    few, many = tmp_path / "few.csv", tmp_path / "many.csv"
    curves.save(few, [arm({1: [0.5, 0.6]})])
    curves.save(many, [arm({1: [0.5, 0.6]}, fill=f"fill-{i}", algorithm=f"algorithm-{i}") for i in range(9)])
    tables = [list(csv.reader(path.read_text().splitlines())) for path in (few, many)]
    assert tables[0][0] == tables[1][0] == list(curves.COLUMNS)
    assert [len(table) for table in tables] == [1 + 2, 1 + 9 * 2]


def test_arms_without_a_tested_round_have_no_row(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    curves.save(path, [arm({1: [None, None]})])
    assert path.read_text().splitlines() == [",".join(curves.COLUMNS)]
