from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipeline import params
from pipeline.artifacts import holdings, manifest
from pipeline.errors import ArtifactError, DataError
from pipeline.evaluation.network.replay import networks
from pipeline.network_params import NetworkParams
from pipeline.params import Params
from pipeline.reporting import content
from pipeline.reporting import page as pages
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.kinds import Fill
from pipeline.reporting.network.study import study
from pipeline.reporting.page import Page
from pipeline.reporting.summarise import summarise
from pipeline.reporting.summary import Summary
from pipeline.workspace import Workspace
from tests.conftest import CLASS_NAMES
from tests.reporting import world
from tests.reporting.histories import arm
from tests.reporting.test_page import Parsed


def made(arms: Sequence[ArmRuns], references: Sequence[ArmRuns] = (), fill: str = "mine") -> Summary:
    fills = [Fill("none", "control", 0.0), Fill("mine", "synthetic", 1.0)]
    return summarise(
        arms, references, target=0.655, fill=fill, fills=fills, clients=4, class_names=CLASS_NAMES, manifest="m"
    )


def pair(none: Sequence[float], mine: Sequence[float], budget: str = "epochs") -> list[ArmRuns]:
    """Return two arms with an accuracy for each seed."""
    return [
        arm({seed: [value] for seed, value in enumerate(values)}, fill=fill, budget=budget)
        for fill, values in (("none", none), ("mine", mine))
    ]


def test_bytes_to_one_client_are_a_number_or_a_range() -> None:
    """A client receives 1,000 bytes a round in the small histories; nobody receives any where nobody takes part."""
    one = arm({1: [0.5]})
    first = one.runs[1].rounds[0]
    double = replace(first.participants[0], bytes_down=2_000)
    other = replace(one, runs={1: replace(one.runs[1], rounds=(replace(first, participants=(double,)),))})
    nobody = replace(one, runs={1: replace(one.runs[1], rounds=(replace(first, participants=()),))})
    assert content.weight_bytes([one]) == "1,000"
    assert content.weight_bytes([one, other]) == "1,000 to 2,000"
    assert content.weight_bytes([nobody]) == "0"


@pytest.fixture
def loaded(workspace: Workspace) -> Params:
    loaded = params.load(workspace.params)
    world.write(workspace, loaded, [], ("none", "mine"))
    return loaded


def page(workspace: Workspace, loaded: Params, arms: list[ArmRuns], references: Sequence[ArmRuns] = ()) -> Page:
    held = {fill: holdings.load(workspace.fill(fill)) for fill in ("none", "mine")}
    nets = networks(NetworkParams(draws=2, profiles=("LAN",)), 1)
    shards = manifest.load(workspace.manifest)
    studied = study(arms, held, shards, nets, fill="mine", controls=["none"], target=0.655)
    found = studied.added_to(made(arms, references))
    return content.page(workspace, loaded, found, arms, studied, "What {} does.".format)


def test_the_page_has_these_sections_in_this_order(workspace: Workspace, loaded: Params) -> None:
    found = page(workspace, loaded, pair([0.2, 0.3], [0.4, 0.5]))
    assert [section.title for section in found.sections] == [
        "Accuracy, with every control",
        "Accuracy over rounds",
        "Are the images good?",
        "Real beside synthetic images",
        "Clients",
        "Bytes moved until the target accuracy",
        "Time on a network, and when the fill pays",
        "Skew of the clients before and after the fill",
        "What was spent",
        "What was run",
    ]


def test_the_page_counts_what_the_artifacts_hold(workspace: Workspace, loaded: Params) -> None:
    """4 clients, 3 classes, 12 test images, 6 synthetic images; each fill has 60 real images, mine 4 added ones.

    A round moves 1,000 bytes to a client.
    """
    arms = pair([0.2, 0.3], [0.4, 0.5]) + pair([0.3, 0.4], [0.4, 0.5], budget="steps")
    central = [arm({0: [0.8], 1: [0.8]}, fill="central-real", budget="steps")]
    shown = page(workspace, loaded, arms, central)
    assert shown.heading.startswith("Does filling the missing classes help? 4 clients, 3 classes, ")
    assert shown.verdict.sentence.startswith("With fedavg at equal steps, the difference of mine from the best control")
    assert not shown.verdict.clear
    assert shown.verdict.facts[-1] == ("1 partition x 2 seeds", "")
    text = pages.render(shown)
    found = Parsed(text)
    assert "none: What none does." in found.items
    assert "central-real: What central-real does." in found.items
    assert ["mine", "60", "4"] in [row[:3] for table in found.tables for row in table]
    assert ["test images", "12"] in [row for table in found.tables for row in table]
    assert ["synthetic images that clients have", "6"] in [row for table in found.tables for row in table]
    assert "One client receives 1,000 bytes in one round." in text
    assert "with 20 SGD steps" in text


def test_what_is_missing_is_said(workspace: Workspace, loaded: Params) -> None:
    """Nobody evaluated images, trained clients alone, measured accuracy by class, or trained a control."""
    text = pages.render(page(workspace, loaded, pair([0.2], [0.4])))
    for sentence in (
        "Nothing was evaluated. To measure the images, run: dvc repro evaluate",
        "No client was trained alone; to do so, list fills in train.alone.",
        "No run measured accuracy by class, so none over clients is known.",
        "No skew was measured.",
    ):
        assert sentence in text
    alone = made([arm({1: [0.4]}, fill="mine")])
    assert content.verdict(alone).sentence == "No verdict: the compared fill was not trained beside a control."


def test_a_damaged_evaluation_is_an_error(workspace: Workspace, loaded: Params) -> None:
    workspace.quality.write_text("{}")
    with pytest.raises(ArtifactError, match=r"damaged .*quality.json: run: dvc repro -f evaluate"):
        page(workspace, loaded, pair([0.2], [0.4]))


def test_real_images_that_changed_since_they_were_partitioned_are_refused(workspace: Workspace, loaded: Params) -> None:
    replace(world.partition(loaded), fingerprint="other").save(workspace.partition)
    with pytest.raises(DataError, match="the training images changed since they were partitioned"):
        page(workspace, loaded, pair([0.2], [0.4]))


def test_a_missing_artifact_says_what_to_run(workspace: Workspace, loaded: Params) -> None:
    workspace.deficits.unlink()
    with pytest.raises(ArtifactError, match=r"no such file: .*deficits.csv: run: dvc repro deficits"):
        page(workspace, loaded, pair([0.2], [0.4]))
