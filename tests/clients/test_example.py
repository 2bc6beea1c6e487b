"""The worked example of docs/deficits.md is what the code computes."""

import re
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from pipeline.clients.deficits import RULES, deficits, surplus
from pipeline.params import DeficitsParams

Int64 = NDArray[np.int64]
DOCUMENT = (Path(__file__).parents[2] / "docs" / "deficits.md").read_text(encoding="utf-8")


def rows() -> list[list[str]]:
    """Return the cells of each line of a table."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in DOCUMENT.splitlines() if line[:1] == "|"]


def counts(cells: list[str]) -> list[list[int]]:
    return [[int(part) for part in cell.split()] for cell in cells]


def cells(numbers: Int64) -> str:
    return ", ".join(map(str, numbers.tolist()[:-1])) + f" and {numbers[-1]}"


def test_the_numbers_of_the_worked_example() -> None:
    """Two clients, three classes: every line with settings says what clients want, and what they are given."""
    have = np.array([[int(cell) for cell in row[1:4]] for row in rows() if re.fullmatch(r"client \d has", row[0])])
    assert have.shape == (2, 3)
    examples = [row for row in rows() if row[0].startswith("`{rule")]
    chosen = [DeficitsParams.model_validate(yaml.safe_load(row[0].strip("`"))) for row in examples]
    for row, params in zip(examples, chosen, strict=True):
        want, missing = deficits(have, params, 2)
        assert want.tolist() == counts(row[1:3]), row
        assert missing.tolist() == counts(row[3:5]), row
        gone = surplus(have, want, missing, params, 2)
        assert (params.rule == "same-total") == gone.any()
        if gone.any():
            assert f"gives up {cells(gone[0])}, client 1 {cells(gone[1])}" in " ".join(DOCUMENT.split())
    assert {params.rule for params in chosen} == set(RULES)
    for limit in ("ratio", "max_per_client", "max_total"):
        assert any(limit in params.model_fields_set for params in chosen)
