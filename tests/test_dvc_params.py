"""dvc.yaml lists what a stage reads: so ``dvc repro`` runs it when that changes, and at no other time.

A parameter is listed itself, or its content is in a fingerprint that the stage depends on. So the place of images or
model is no parameter of a stage, and the same content elsewhere runs nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.federated.workers import ExecutionOptions
from pipeline.generation import request
from pipeline.params import Params, Section
from pipeline.stages import deficits, evaluate, fill, fingerprint, generate, partition, report, train
from pipeline.workspace import Workspace
from tests.conftest import small_document

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
DVC = yaml.safe_load(TEXT)["stages"]
ONE = ExecutionOptions(1)
Reads = dict[str, set[str]]

FINGERPRINTS = {f"data/fingerprints/{of}.json": of for kinds in fingerprint.STAGES.values() for of in kinds}
"""The outputs that stand for content, and what they are of."""
ONLY_NAMED = {"report": {"generate.model"}}
"""The page says what the model was called when it was made; what the model is, it has from the manifest."""


@contextmanager
def recorded(names: dict[type[Section], str]) -> Iterator[set[str]]:
    """Collect the parameters that are read meanwhile, as ``section.key``."""
    read: set[str] = set()
    before = Section.__getattribute__

    def record(self: Section, name: str) -> Any:
        if name in type(self).model_fields and type(self) in names:
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
    document["train"] |= {"algorithms": ["fedavg", "fedprox"], "alone": ["none"]}
    params = Params.model_validate(document)
    judged = {**document["generate"], "gate": {"judge": {"model": "trained"}}}
    gated = Params.model_validate({**document, "generate": judged})
    sections = {type(section): f"{name}." for name, section in params if isinstance(section, Section)} | {Params: ""}

    def both_kinds_of_generate() -> None:
        """A run without a gate, and what the identity of a judge adds that learns from the real images."""
        generate.run(workspace, params, ["cpu"])
        assert request.current(workspace, gated, "float32").gate

    def every_fill() -> None:
        for name in params.train.all_fills():
            fill.run(workspace, params, name)

    def every_pair() -> None:
        for name, algorithm in params.train.pairs():
            train.run(workspace, params, name, algorithm, ONE)
        for name in params.train.alone:
            train.run_alone(workspace, params, name, ONE)

    stages: dict[str, Callable[[], object]] = {
        **{of: partial(fingerprint.run, workspace, params, of) for of in FINGERPRINTS.values()},
        "partition": lambda: partition.run(workspace, params),
        "deficits": lambda: deficits.run(workspace, params),
        "generate": both_kinds_of_generate,
        "evaluate": lambda: evaluate.run(workspace, params),
        "fill": every_fill,
        "train": every_pair,
        "report": lambda: report.run(workspace, params),
    }
    found: Reads = {}
    for stage, run in stages.items():
        with recorded(sections) as read:
            run()
        found[stage] = {name for name in read if name not in Params.model_fields or name == "seed"}
    for stage, kinds in fingerprint.STAGES.items():
        found[stage] = set[str]().union(*(found[of] for of in kinds))
    return found


def covered(reads: Reads, stage: str) -> set[str]:
    """Return the parameters whose content is in a fingerprint that a stage depends on."""
    prints = (reads[FINGERPRINTS[dep]] for dep in DVC[stage].get("deps", ()) if dep in FINGERPRINTS)
    return set[str]().union(*prints)


@pytest.mark.parametrize("stage", DVC)
def test_every_parameter_that_a_stage_reads_is_listed_or_in_a_fingerprint(reads: Reads, stage: str) -> None:
    unlisted = {name for name in reads[stage] if not {name, name.partition(".")[0]} & set(DVC[stage]["params"])}
    assert unlisted - covered(reads, stage) == ONLY_NAMED.get(stage, set())


@pytest.mark.parametrize("stage", DVC)
def test_every_parameter_that_is_listed_is_read(reads: Reads, stage: str) -> None:
    """A section that is listed whole is one of which a key is read."""
    read = reads[stage] | {name.partition(".")[0] for name in reads[stage]}
    assert set(DVC[stage]["params"]) - read == set()


@pytest.mark.parametrize("stage", DVC)
def test_no_stage_but_those_of_the_fingerprints_lists_what_one_stands_for(reads: Reads, stage: str) -> None:
    if stage not in fingerprint.STAGES:
        assert {name for name in DVC[stage]["params"] if name == "data" or name in covered(reads, stage)} == set()


def test_no_text_of_params_yaml_enters_a_command_or_a_path() -> None:
    """DVC puts values of params.yaml where ``${...}`` stands, and before any of our code can check them."""
    assert "${" not in TEXT
    for stage in DVC.values():
        assert stage.keys().isdisjoint({"matrix", "foreach", "vars"})
        assert all(not Path(out if isinstance(out, str) else next(iter(out))).is_absolute() for out in stage["outs"])
