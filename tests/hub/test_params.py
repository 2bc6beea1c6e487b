"""A publication carries the params.yaml of its images, and a pull brings it."""

from pathlib import Path

import pytest
import yaml

from pipeline import params
from pipeline.cli.hub import pulled_text
from pipeline.commands import pull as pull_command
from pipeline.workspace import Workspace
from tests.hub.publishing import ALL, ANONYMOUS, REPO, pull, push
from tests.hub.server import Hub


def test_a_colleague_needs_nothing_else(
    hub: Hub, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In an empty folder a pull writes params.yaml, and the plan of it asks for the images of the publication."""
    push(ALL)
    mine = (project / "params.yaml").read_bytes()
    assert hub.tree(REPO)["params.yaml"] == mine
    assert "gen-fedsd init" in hub.tree(REPO)["README.md"].decode()
    model = params.load(project / "params.yaml").generate.model
    assert f"params.yaml is published, and names {model}, which is not" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    printed = pulled_text(pull_command.pull(Workspace(), None, REPO, None))
    assert Path("params.yaml").read_bytes() == mine
    assert "params.yaml is that of the publication; next: gen-fedsd init" in printed
    assert printed.splitlines()[-1].startswith("params.yaml asks for this recipe")


def test_a_params_yaml_that_is_here_stays(hub: Hub, project: Path) -> None:
    push(ALL)
    assert "params.yaml is that of the publication\n" in pull()
    document = yaml.safe_load((project / "params.yaml").read_text())
    (project / "params.yaml").write_text(yaml.safe_dump({**document, "seed": 8}))
    published = hub.tree(REPO)["params.yaml"]
    assert "data/published-params.yaml is that of the publication; to use it, rename it to params.yaml" in pull()
    assert (project / "data/published-params.yaml").read_bytes() == published
    assert params.load(project / "params.yaml").seed == 8


def test_one_that_changed_since_the_images_were_made_is_not_published(
    hub: Hub, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = yaml.safe_load((project / "params.yaml").read_text())
    document["generate"]["steps"] = 3
    (project / "params.yaml").write_text(yaml.safe_dump(document))
    push(ALL)
    assert "params.yaml" not in hub.tree(REPO)
    assert "params.yaml is not published: it has changed since the images were made (steps)" in capsys.readouterr().err
    assert "the publication has no params.yaml" in pull()


def test_merged_images_are_published_without_it(hub: Hub, project: Path) -> None:
    """It has the seed, which tells which images belong to one client."""
    push(ANONYMOUS)
    assert "params.yaml" not in hub.tree(REPO)


def test_one_that_is_not_valid_is_not_written(
    hub: Hub, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(ALL)
    document = yaml.safe_load((project / "params.yaml").read_text())
    (project / "params.yaml").write_text(yaml.safe_dump({**document, "seed": "x"}))
    monkeypatch.setattr("pipeline.hub.pull.params", lambda found: (project / "params.yaml").read_text())
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    printed = pulled_text(pull_command.pull(Workspace(), None, REPO, None))
    assert "cannot be used" in printed
    assert not Path("params.yaml").exists()
