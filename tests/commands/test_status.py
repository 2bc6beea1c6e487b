import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.cli import images
from pipeline.cli.images import cost_text, status_text
from pipeline.commands.status import ClientStatus, Cost, Shards, cost, probe, status
from pipeline.errors import ParameterError
from pipeline.generation import devices, rates
from pipeline.generation.devices import Assumption
from pipeline.generation.plan import Wanted
from pipeline.generation.pool import Pool
from pipeline.params import Params
from pipeline.workspace import Workspace
from tests.commands.stocked import IMAGE_BYTES, current, lacking, stock, written

ROOT = Path(__file__).parents[2]


def test_status_shows_what_each_client_has_and_lacks(workspace: Workspace) -> None:
    """Nine images of clients' own; client 0 has three of five, client 2 all four (and two more that nobody wants)."""
    lacking(workspace, [2, 3, 0], [0, 0, 0], [0, 0, 4])
    read, plan = current(workspace)
    with Pool(workspace.pool) as pool:
        first = Wanted("0", "ankle boot", 0, range(2)), Wanted("0", "bag", 1, range(1))
        stock(pool, plan, *first, Wanted("2", "coat", 2, range(6)))
    found = status(workspace, read)
    assert found.clients == (ClientStatus(0, 5, 3, 0), ClientStatus(1, 0, 0, 0), ClientStatus(2, 4, 4, 0))
    assert [client.lacking for client in found.clients] == [2, 0, 0]
    assert found.shards is None
    assert found.cost == Cost(
        recipe=plan.recipe.digest,
        dtype=Assumption("float32", "set in params.yaml"),
        sharing="own",
        clients=3,
        planned=9,
        distinct=9,
        held=7,
        batch_size=4,
        rate=None,
        bytes_per_image=IMAGE_BYTES,
    )
    assert (found.cost.missing, found.cost.batches, found.cost.seconds, found.cost.bytes) == (
        2,
        1,
        None,
        2 * IMAGE_BYTES,
    )


def test_images_that_clients_share_count_once_in_the_cost(workspace: Workspace) -> None:
    """The most of each class: 2, 3 and 4 make nine distinct images of eleven planned ones; three of them are there."""
    lacking(workspace, [2, 3, 0], [1, 1, 4])
    read, plan = current(workspace, sharing="common")
    with Pool(workspace.pool) as pool:
        stock(pool, plan, Wanted("common", "coat", 2, range(3)))
        rates.record(pool.path, plan.recipe, ["cpu"], 0.1, 50)
    found = status(workspace, read)
    assert found.clients == (ClientStatus(0, 5, 0, 0), ClientStatus(1, 6, 3, 0))
    assert (found.cost.planned, found.cost.distinct, found.cost.held, found.cost.sharing) == (11, 9, 3, "common")
    assert (found.cost.missing, found.cost.batches) == (6, 2)
    assert found.cost.seconds == pytest.approx(60)
    assert cost(workspace, read) == found.cost


def test_nothing_to_render(workspace: Workspace) -> None:
    lacking(workspace, [2, 0, 0])
    read, plan = current(workspace)
    assert (cost(workspace, read).seconds, cost(workspace, read).bytes) == (None, None)
    with Pool(workspace.pool) as pool:
        stock(pool, plan)
        rates.record(pool.path, plan.recipe, ["cpu"], 5.0, 50)
    done = cost(workspace, read)
    assert (done.missing, done.batches, done.seconds, done.bytes) == (0, 0, 0, 0)


def sharded(workspace: Workspace, *missing: list[int]) -> Params:
    """Write deficits and the shards of them, and delete the pool."""
    lacking(workspace, *missing)
    read, plan = current(workspace)
    with Pool(workspace.pool) as pool:
        stock(pool, plan)
        written(workspace, pool, plan, 1)
    shutil.rmtree(workspace.cache)
    return read


def test_without_the_pool_the_shards_still_hold_what_is_planned(workspace: Workspace) -> None:
    """Nothing is missing, and nothing has to be rendered; DVC is not used here, so it is not asked."""
    read = sharded(workspace, [2, 3, 0], [0, 0, 0], [0, 0, 4])
    found = status(workspace, read)
    assert found.clients == (ClientStatus(0, 5, 0, 5), ClientStatus(1, 0, 0, 0), ClientStatus(2, 4, 0, 4))
    assert [client.lacking for client in found.clients] == [0, 0, 0]
    assert (found.cost.held, found.cost.missing) == (0, 9)
    assert found.shards == Shards(images=9, damaged=0, planned=9, changes=None)
    said = status_text(found)
    assert "all that is planned, so nothing has to be rendered. If nothing changed" in said
    assert "gen-fedsd pool import data/shards" in said


def test_dvc_is_asked_whether_it_would_render_again(workspace: Workspace) -> None:
    """A DVC folder whose stage never ran, so that DVC sees a change."""
    read = sharded(workspace, [2, 0, 0])
    (workspace.root / ".dvc").mkdir()
    (workspace.root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (workspace.root / "dvc.yaml").write_text("stages:\n  generate:\n    cmd: 'true'\n    deps: [params.yaml]\n")
    found = status(workspace, read)
    assert found.shards == Shards(images=2, damaged=0, planned=2, changes=True)
    assert "dvc repro would run generate and render the 2 again" in status_text(found)
    said = status_text(replace(found, shards=Shards(images=2, damaged=0, planned=2, changes=False)))
    assert "dvc repro renders nothing, since nothing changed" in said


def test_shards_of_another_plan_or_size_do_not_count(workspace: Workspace) -> None:
    """Client 0 wants one image more than its shard has, client 1's shard is cut short, client 2's is as planned."""
    sharded(workspace, [2, 0, 0], [0, 3, 0], [0, 0, 4])
    lacking(workspace, [3, 0, 0], [0, 3, 0], [0, 0, 4])
    read, _ = current(workspace)
    shard = workspace.shards / "client-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-1])
    found = status(workspace, read)
    assert found.clients == (ClientStatus(0, 3, 0, 0), ClientStatus(1, 3, 0, 0), ClientStatus(2, 4, 0, 4))
    assert [client.lacking for client in found.clients] == [3, 3, 0]
    assert found.shards == Shards(images=6, damaged=3, planned=4, changes=None)
    assert "3 images are in files that are missing or of another size; 4 of them are as planned" in status_text(found)


def test_a_probe_measures_the_rate_and_keeps_the_images(workspace: Workspace) -> None:
    """A batch of 4 for one device; the estimate for two is twice the rate, and says so."""
    lacking(workspace, [9, 0, 0])
    read, plan = current(workspace)
    assert cost(workspace, read, ["cpu"]).seconds is None
    assert probe(workspace, read, ["cpu"]) == 4
    found = cost(workspace, read, ["cpu"])
    assert (found.held, found.missing) == (4, 5)
    assert found.rate is not None
    assert found.rate.images_per_second > 0
    assert (found.rate.based_on.images, found.rate.based_on.workers) == (4, 1)
    assert f"(measured just now over 4 images on 1 worker, {found.rate.based_on.hardware})" in cost_text(found)
    twice = cost(workspace, read, ["cpu", "cpu"])
    assert twice.rate is not None
    assert twice.rate.images_per_second == 2 * found.rate.images_per_second
    assert "scaled to the devices asked for" in cost_text(twice)
    assert cost(workspace, read, ["cuda"]).rate is None
    assert found.recipe == plan.recipe.digest


def test_what_auto_stands_for_is_recorded_or_assumed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking(workspace, [2, 0, 0])
    read, _ = current(workspace, dtype="auto")
    monkeypatch.setenv(devices.VARIABLE, "cuda:0")
    assert cost(workspace, read).dtype == Assumption("float16", "assumed, since $GEN_FEDSD_DEVICES is cuda:0")
    devices.record_dtype(workspace, "bfloat16")
    found = cost(workspace, read)
    assert found.dtype == Assumption("bfloat16", "as generate last rendered (data/arithmetic.json)")
    explicit, plan = current(workspace)
    assert cost(workspace, explicit).recipe == plan.recipe.digest != found.recipe


def test_planning_loads_neither_torch_nor_diffusers(workspace: Workspace) -> None:
    """In a process of its own, since this one has loaded them; with a dtype that is set, recorded and assumed.

    The cost also checks the prompts, for which transformers reads the tokenizers, without torch.
    """
    lacking(workspace, [2, 0, 0])
    program = (
        "import json, sys\n"
        "from pipeline.commands import status\n"
        "from pipeline.generation import devices\n"
        "from pipeline.params import Params\n"
        "from pipeline.workspace import Workspace\n"
        "for text in sys.argv[1:]:\n"
        "    for command in (status.status, status.cost):\n"
        "        command(Workspace(), Params.model_validate_json(text))\n"
        "    devices.record_dtype(Workspace(), 'float16')\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    auto, explicit = (current(workspace, dtype=dtype)[0].model_dump_json() for dtype in ("auto", "float32"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, auto, explicit, auto]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    loaded = set(json.loads(done.stdout))
    assert "pipeline" in loaded
    assert not loaded & {"torch", "diffusers", "torchvision"}


def test_words_that_differ_from_the_class_names_are_shown(workspace: Workspace) -> None:
    lacking(workspace, [2, 0, 0], words=("ankle boot", "handbag", "coat"))
    read, plan = current(workspace)
    assert plan.prompt_names == ("ankle boot", "handbag", "coat")
    found = status(workspace, read)
    assert found.words == (("bag", "handbag"),)
    assert images.status_text(found).startswith("class name  in prompts\nbag         handbag\nclient  planned")


def test_the_cost_of_prompts_that_would_be_cut_is_an_error(workspace: Workspace) -> None:
    """``generate --dry-run`` says so before anybody waits for a GPU; ``status`` tells what is there."""
    lacking(workspace, [0, 1, 0], words=("ankle boot", "bag of some length", "coat"))
    read, _ = current(workspace)
    assert status(workspace, read).cost.missing == 1
    with pytest.raises(ParameterError, match="class 'bag' \\('bag of some length' in prompts\\)"):
        cost(workspace, read)


def test_two_workspaces_in_one_process(workspace: Workspace, tmp_path: Path) -> None:
    """The second has other deficits, parameters, pool and record, and is not the working folder."""
    second = Workspace(tmp_path / "second", tmp_path / "second cache")
    second.root.mkdir()
    second.params.write_text(workspace.params.read_text().replace("steps: 2", "steps: 3"))
    lacking(workspace, [2, 0, 0])
    lacking(second, [0, 1, 0], [0, 0, 3])
    devices.record_dtype(second, "float16")
    with Pool(second.pool) as pool:
        stock(pool, current(second)[1])
    here, there = status(workspace, current(workspace)[0]), status(second, current(second)[0])
    assert here.clients == (ClientStatus(0, 2, 0, 0),)
    assert there.clients == (ClientStatus(0, 1, 1, 0), ClientStatus(1, 3, 3, 0))
    assert here.cost.recipe != there.cost.recipe
    auto = current(second, dtype="auto")[0]
    assert status(second, auto).cost.dtype.dtype == "float16"
    assert status(workspace, auto).cost.dtype.why.startswith("assumed, since ")
