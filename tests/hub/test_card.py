"""The card of a publication."""

import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset

from pipeline.hub import anonymous, card
from pipeline.hub.options import PushOptions
from pipeline.reporting import summary
from pipeline.reporting.statistics import Estimate
from pipeline.reporting.summary import Arm, Summary
from pipeline.workspace import Workspace
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
    adapted = {**known.recipe_text, "model": "me/mine@main", "lora": [{"digest": "sha256:1", "scale": 0.5}]}
    text = card.by_client(REPO, replace(known, recipe_text=adapted), "mit", None)
    assert 'LoRA weights whose digest is "sha256:1"\npipe.fuse_lora(lora_scale=0.5)\n' in text


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
    described = anonymous.describe(replace(read_manifest(), sharing=sharing), {})
    assert said in card.anonymous(REPO, described, "mit", None)


def report_about(place: Path, manifest: str) -> None:
    """Write the numbers of a report on one fill with three seeds, about the images of a manifest."""
    by_seed = {1: 0.6, 2: 0.62, 3: 0.64}
    known = Estimate(0.62, 0.5703, 0.6697, 1, 3)
    arm = Arm("fedavg", "steps", "none", known, known, None, by_seed, 2_560.0, 40.0, None, None, None)
    summary.save(place, Summary(manifest, "synthetic", 10, (), (arm,), (), (), (), ("central runs are missing",)))


@pytest.mark.parametrize("options", [ALL, ANONYMOUS])
def test_a_card_shows_the_results_of_a_report_on_its_images_only(
    hub: Hub, workspace: Workspace, options: PushOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table for each algorithm and budget, as Markdown; none if the report is about other images."""
    report_about(workspace.report_metrics, sha256(workspace.manifest.read_bytes()).hexdigest())
    push(options)
    text = hub.tree(REPO)["README.md"].decode()
    head = "fill | mean of the last 10 rounds | last round | averaged weights | samples a round | steps a round"
    row = "none | 62.0 (57.0 to 67.0) | 62.0 (57.0 to 67.0) | - | 2,560 | 40"
    assert f"\nfedavg, equal steps:\n\n| {head} | replicates | p |\n" in text
    assert f"\n| {row} | 1 partition x 3 seeds | - |\n" in text
    assert "\n* central runs are missing\n" in text
    assert "no results" not in capsys.readouterr().err
    report_about(workspace.report_metrics, "0" * 64)
    push(options)
    text = hub.tree(REPO)["README.md"].decode()
    assert "Effect on training" not in text
    assert "fedavg" not in text
    assert "the card shows no results of training: the last report is about other images" in capsys.readouterr().err


@pytest.mark.parametrize(("content", "reason"), [("{", "damaged"), (None, "no report yet")])
def test_without_a_readable_report_the_card_has_no_results(
    hub: Hub, workspace: Workspace, capsys: pytest.CaptureFixture[str], content: str | None, reason: str
) -> None:
    if content is not None:
        workspace.report_metrics.write_text(content)
    assert "7 files to upload" in push(ALL)
    assert "Effect on training" not in hub.tree(REPO)["README.md"].decode()
    assert f"the card will show no results of training: {reason}" in capsys.readouterr().err
