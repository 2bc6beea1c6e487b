import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands.status import ClientStatus, Cost, cost, status
from pipeline.generation import devices
from pipeline.generation.devices import Assumption
from pipeline.generation.plan import Wanted
from pipeline.generation.pool import Pool
from pipeline.workspace import Workspace
from tests.commands.stocked import IMAGE_BYTES, current, lacking, stock

ROOT = Path(__file__).parents[2]


def test_status_shows_what_each_client_has_and_lacks(workspace: Workspace) -> None:
    """Nine images of clients' own; client 0 has three of five, client 2 all four (and two more that nobody wants)."""
    lacking(workspace, [2, 3, 0], [0, 0, 0], [0, 0, 4])
    read, plan = current(workspace)
    with Pool(workspace.pool) as pool:
        first = Wanted("0", "ankle boot", 0, range(2)), Wanted("0", "bag", 1, range(1))
        stock(pool, plan, *first, Wanted("2", "coat", 2, range(6)))
    found = status(workspace, read)
    assert found.clients == (ClientStatus(0, 5, 3), ClientStatus(1, 0, 0), ClientStatus(2, 4, 4))
    assert [client.missing for client in found.clients] == [2, 0, 0]
    assert found.cost == Cost(
        recipe=plan.recipe.digest,
        dtype=Assumption("float32", "set in params.yaml"),
        sharing="own",
        clients=3,
        planned=9,
        distinct=9,
        held=7,
        batch_size=4,
        images_per_second=None,
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
        pool.record_rate(plan.recipe, 0.1)
    found = status(workspace, read)
    assert found.clients == (ClientStatus(0, 5, 0), ClientStatus(1, 6, 3))
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
        pool.record_rate(plan.recipe, 5.0)
    done = cost(workspace, read)
    assert (done.missing, done.batches, done.seconds, done.bytes) == (0, 0, 0, 0)


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
    """In a process of its own, since this one has loaded them; with a dtype that is set, recorded and assumed."""
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
    assert not loaded & {"torch", "diffusers", "transformers", "torchvision"}


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
    assert here.clients == (ClientStatus(0, 2, 0),)
    assert there.clients == (ClientStatus(0, 1, 1), ClientStatus(1, 3, 3))
    assert here.cost.recipe != there.cost.recipe
    auto = current(second, dtype="auto")[0]
    assert status(second, auto).cost.dtype.dtype == "float16"
    assert status(workspace, auto).cost.dtype.why.startswith("assumed, since ")
