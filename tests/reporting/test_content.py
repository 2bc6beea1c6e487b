from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pipeline import params
from pipeline.artifacts import manifest
from pipeline.data import decoded
from pipeline.errors import ArtifactError, DataError
from pipeline.params import Params
from pipeline.reporting import content
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.kinds import Fill
from pipeline.reporting.page import Page
from pipeline.reporting.summarise import summarise
from pipeline.reporting.summary import Summary
from pipeline.workspace import Workspace
from tests.conftest import CLASS_NAMES
from tests.reporting import world
from tests.reporting.histories import arm


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


def test_the_sheet_shows_real_images_beside_synthetic_ones_of_as_many_clients_as_possible(
    workspace: Workspace, loaded: Params
) -> None:
    """Images of 16 pixels are shown at 64, 66 apart; the second group starts at 110 + 2 * 66 + 12 = 254.

    Label 0 has two images of client 1 (shades 40 and 50) and one of client 3 (shade 120): the second place goes to the
    other client. Label 1 has one of client 2 (80), label 2 one of client 1 (60) and one of client 2 (90). Real images
    are the first and the last that clients hold: rows 0 and 19 of label 0.
    """
    split, shards = world.partition(loaded), manifest.load(workspace.manifest)
    real = decoded.open_data(workspace, loaded.data).train
    sheet = content.sheet(2, split, shards, real)
    shades = [[sheet.getpixel((254 + 66 * column + 32, 18 + 66 * row + 32)) for column in range(2)] for row in range(3)]
    white = (255, 255, 255)
    grey = [[(40,) * 3, (120,) * 3], [(80,) * 3, white], [(60,) * 3, (90,) * 3]]
    assert shades == grey
    for column, row in enumerate((0, 19)):
        shown = np.asarray(sheet.crop((110 + 66 * column, 18, 110 + 66 * column + 64, 18 + 64)))
        assert (shown[::4, ::4] == real.pixels[row]).all()


def page(workspace: Workspace, loaded: Params, arms: list[ArmRuns], references: Sequence[ArmRuns] = ()) -> Page:
    return content.page(workspace, loaded, made(arms, references), arms, "What {} does.".format)


def test_the_page_counts_what_the_artifacts_hold(workspace: Workspace, loaded: Params) -> None:
    """4 clients, 3 classes, 12 test images; the shards of 6 images are a few kilobytes."""
    arms = pair([0.2, 0.3], [0.4, 0.5]) + pair([0.3, 0.4], [0.4, 0.5], budget="steps")
    central = [arm({0: [0.8], 1: [0.8]}, fill="central-real", budget="steps")]
    found = page(workspace, loaded, arms, central)
    assert (found.clients, found.classes, found.test_images) == (4, 3, "12")
    assert (found.seeds, found.central_steps, found.weight_bytes) == ("2 paired seeds", "20", "1,000")
    assert found.shard_megabytes == "0.0"
    assert [table.title for table in found.results] == ["fedavg, equal epochs", "fedavg, equal steps"]
    assert found.headline.startswith("With fedavg at equal steps, the difference of mine from the best control")
    assert found.fills == {"none": "What none does.", "mine": "What mine does."}
    assert found.references == {"central-real": ("80.0 (80.0 to 80.0)", "What central-real does.")}
    assert [len(pair) for pair in found.curves] == [2]
    assert len(found.maps) == 2
    assert [row[:3] for row in found.images.rows] == [("none", "60", "0"), ("mine", "60", "4")]


def test_arms_of_other_numbers_of_seeds_are_said_to_have_them(workspace: Workspace, loaded: Params) -> None:
    assert page(workspace, loaded, pair([0.2], [0.4])).seeds == "1 seed"
    assert page(workspace, loaded, pair([0.2], [0.4, 0.5, 0.6])).seeds == "1 to 3 paired seeds"


def test_an_algorithm_that_one_budget_lacks_has_one_figure(workspace: Workspace, loaded: Params) -> None:
    arms = [*pair([0.2], [0.4]), arm({0: [0.5]}, algorithm="moon", budget="steps")]
    assert [len(pair) for pair in page(workspace, loaded, arms).curves] == [1, 1]


def test_real_images_that_changed_since_they_were_partitioned_are_refused(workspace: Workspace, loaded: Params) -> None:
    replace(world.partition(loaded), fingerprint="other").save(workspace.partition)
    with pytest.raises(DataError, match="the training images changed since they were partitioned"):
        page(workspace, loaded, pair([0.2], [0.4]))


def test_a_missing_artifact_says_what_to_run(workspace: Workspace, loaded: Params) -> None:
    workspace.deficits.unlink()
    with pytest.raises(ArtifactError, match=r"no such file: .*deficits.csv: run: dvc repro deficits"):
        page(workspace, loaded, pair([0.2], [0.4]))
