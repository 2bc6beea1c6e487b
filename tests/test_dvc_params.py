"""dvc.yaml lists exactly the parameters that a stage reads, so that ``dvc status`` names only runs that change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.federated.workers import ExecutionOptions
from pipeline.params import Params, Section
from pipeline.stages import deficits, fill, generate, partition, report, train
from pipeline.workspace import Workspace
from tests.conftest import small_document

ROOT = Path(__file__).parents[1]
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
ONE = ExecutionOptions(1)
Reads = dict[str, set[str]]


@contextmanager
def recorded(names: dict[type[Section], str]) -> Iterator[set[str]]:
    """Collect the parameters that are read meanwhile, as ``section.key``."""
    read: set[str] = set()
    before = Section.__getattribute__

    def record(self: Section, name: str) -> Any:
        if name in type(self).model_fields:
            read.add(f"{names[type(self)]}{name}")
        return before(self, name)

    Section.__getattribute__ = record  # type: ignore[method-assign,assignment]
    try:
        yield read
    finally:
        del Section.__getattribute__


@pytest.fixture(scope="module")
def reads(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path) -> Reads:
    """What each DVC stage reads, on a small project with every fill and two algorithms."""
    folder = tmp_path_factory.mktemp("reads")
    workspace, document = Workspace(folder, folder / "cache"), small_document(small_data, tiny_model)
    document["train"] |= {"algorithms": ["fedavg", "fedprox"], "options": document["train"]["options"]}
    params = Params.model_validate(document)
    sections = {type(section): f"{name}." for name, section in params if isinstance(section, Section)} | {Params: ""}

    def both(name: str) -> None:
        fill.run(workspace, params, name)
        train.run(workspace, params, name, "fedavg", ONE)

    stages: dict[str, list[Callable[[], None]]] = {
        "partition": [lambda: partition.run(workspace, params)],
        "deficits": [lambda: deficits.run(workspace, params)],
        "generate": [lambda: generate.run(workspace, params, ["cpu"])],
        "fill": [partial(fill.run, workspace, params, name) for name in params.train.fills],
        "train": [
            partial(train.run, workspace, params, name, algorithm, ONE)
            for name in params.train.fills
            for algorithm in params.train.algorithms
        ],
        "central": [partial(both, name) for name in params.train.references],
        "report": [lambda: report.run(workspace, params)],
    }
    found: Reads = {}
    for stage, calls in stages.items():
        with recorded(sections) as read:
            for call in calls:
                call()
        found[stage] = {name for name in read if name not in Params.model_fields or name == "seed"}
    return found


def listed(stage: str) -> set[str]:
    """Return the parameters of a DVC stage; options are those of the algorithm that runs."""
    return {
        name.partition(".options.")[0] + ".options" if ".options." in name else name for name in DVC[stage]["params"]
    }


@pytest.mark.parametrize("stage", DVC)
def test_every_parameter_that_a_stage_reads_is_listed(reads: Reads, stage: str) -> None:
    assert {name for name in reads[stage] if not {name, name.partition(".")[0]} & listed(stage)} == set()


@pytest.mark.parametrize("stage", DVC)
def test_every_parameter_that_is_listed_is_read(reads: Reads, stage: str) -> None:
    """A section that is listed whole is one of which a key is read."""
    read = reads[stage] | {name.partition(".")[0] for name in reads[stage]}
    assert listed(stage) - read == set()


def test_lists_that_say_which_runs_exist_decide_none(reads: Reads) -> None:
    lists = {"train.fills", "train.references", "train.algorithms"}
    for stage in ("fill", "train", "central"):
        assert reads[stage] & lists == set()
        assert listed(stage) & lists == set()
