"""The card of a publication."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset

from pipeline.hub import card
from tests.hub.cards import findings
from tests.hub.publishing import (
    ALL,
    ANONYMOUS,
    REPO,
    generate_project,
    push,
    read_manifest,
)
from tests.hub.server import Hub


def test_the_licence_stays_as_published(hub: Hub, project: Path) -> None:
    push(replace(ALL, licence="cc0-1.0"))
    assert "nothing to do" in push(ALL)
    assert "nothing to do" in push(replace(ALL, clients=(1,)))
    assert b"license: cc0-1.0" in hub.tree(REPO)["README.md"]
    push(replace(ALL, licence="mit"))
    assert b"license: mit" in hub.tree(REPO)["README.md"]
    hub.overwrite(REPO, "README.md", b"---\nlicense: [\n---\n")
    push(ALL)
    assert b"license: unknown" in hub.tree(REPO)["README.md"]


def test_the_card_says_how_to_render_an_image_again(
    document: dict[str, Any], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines, executed as they are; the model of this test is a folder, which the card would not load."""
    document["generate"]["image_size"] = 12
    monkeypatch.chdir(generate_project(tmp_path, document).root)
    known = read_manifest()
    text = card.by_client(
        REPO, replace(known, recipe_text={**known.recipe_text, "model": f"{tiny_model}@main"}), "mit", None
    )
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[-1]
    rows = load_dataset("parquet", data_files=[str(path) for path in known.paths(known.shard(1))], split="train")
    for number in (0, len(rows) - 1):
        row = rows[number]
        names: dict[str, Any] = {"images": {0: row}}
        exec(code, names)
        apart = np.abs(np.asarray(names["picture"], np.int16) - np.asarray(row["image"], np.int16))
        assert apart.max() <= 1


def test_a_card_shows_class_names_as_they_are(project: Path) -> None:
    """Those of a table's borders, of YAML and of templates do not break it."""
    names = ("a | b", "no: {{ 7 }}", "'\"#")
    known = replace(read_manifest(), class_names=names)
    text = card.by_client(REPO, known, "mit", None)
    assert "\n| client | a \\| b | no: {{ 7 }} | '\"# | all |\n" in text
    assert findings(text) == ([], [])


@pytest.mark.parametrize(
    ("sharing", "said"), [("own", "those\nof all clients together"), ("common", "lacks most of it")]
)
def test_an_anonymous_card_says_what_its_counts_are(hub: Hub, project: Path, sharing: str, said: str) -> None:
    replace(read_manifest(), sharing=sharing).save()
    push(ANONYMOUS)
    assert said in hub.tree(REPO)["README.md"].decode()
