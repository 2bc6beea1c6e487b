"""The whole pipeline by real ``dvc repro`` on the shipped data and model, with smaller numbers."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.__main__ import main
from pipeline.fills import names

ROOT = Path(__file__).parent.parent
PRODUCTS = (
    "data/inventory.json",
    "data/partition.parquet",
    "data/shards/client-*.parquet",
    "data/manifest.json",
    "data/quality.json",
    "data/metrics/*.json",
    "data/fingerprints/*.json",
    "data/fills/*.parquet",
    "data/train/*/history.csv",
    "data/train/*/participants.parquet",
    "data/train/*/weights/*.safetensors",
    "data/train/alone-*/alone.csv",
    "data/report.json",
)
FINGERPRINTS = ("fingerprint-images", "fingerprint-model")


def small() -> str:
    """Return params.yaml with five clients of two classes each, ten images of every other class, and two rounds."""
    document = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    document["partition"] |= {"scheme": "labels", "clients": 5, "labels_per_client": 2, "max_images": 100}
    document["deficits"] |= {"rule": "fixed", "images_per_class": 10}
    document["generate"] |= {"steps": 2, "batch_size": 16}
    document["evaluate"] |= {"seeds": [1], "steps": 20}
    document["train"] |= {"rounds": 2, "seeds": [1, 2], "eval_every": 1, "central_steps": 20, "alone": ["none"]}
    document["train"] |= {"algorithms": ["fedavg"], "schedule": "constant"}
    document["train"]["fills"].append("warm-up")
    return yaml.safe_dump(document, sort_keys=False)


class Called(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


class Clone:
    """A copy of the project in its own folder, with its own pool."""

    def __init__(self, place: Path) -> None:
        self.place = place
        settings = ("dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore", ".dvc/plots")
        for name in (*settings, "pipeline", "data/demo", "data/prompts"):
            target = place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, target)
        (place / "params.yaml").write_text(small())
        # The environment that runs the tests stands in for .venv, which need not be activated.
        (place / ".venv").symlink_to(sys.prefix)
        subprocess.run(["git", "init", "-q"], cwd=place, check=True)
        bare_path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if not p.startswith(sys.prefix))
        self.pool = place / "cache/pool.sqlite"
        self.environment = {**os.environ, "GEN_FEDSD_CACHE": str(place / "cache"), "PATH": bare_path}

    def run(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.place,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def call(self, *arguments: str, code: int = 0) -> Called:
        """Run one of our commands in this process, which has imported everything already."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.place)
            patch.setenv("GEN_FEDSD_CACHE", self.environment["GEN_FEDSD_CACHE"])
            patch.setattr(sys, "argv", ["gen-fedsd", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
        assert (ended.value.code or 0) == code, out.getvalue() + err.getvalue()
        return Called(out.getvalue(), err.getvalue())

    @property
    def stages(self) -> list[str]:
        """The names of all DVC stages."""
        return list(yaml.safe_load((self.place / "dvc.yaml").read_text(encoding="utf-8"))["stages"])

    def products(self) -> dict[str, str]:
        files = [file for pattern in PRODUCTS for file in self.place.glob(pattern)]
        return {
            file.relative_to(self.place).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
        }


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone in which the whole pipeline has run, with two workers each for rendering and training."""
    made = Clone(tmp_path_factory.mktemp("clone"))
    made.run("dvc", "repro", GEN_FEDSD_DEVICES="cpu*2", GEN_FEDSD_WORKERS="2")
    yield made
    shutil.rmtree(made.place)


def test_repro_leaves_every_product(clone: Clone) -> None:
    manifest = json.loads((clone.place / "data/manifest.json").read_text())
    assert len(manifest["shards"]) == 5
    rows = [[file["rows"] for file in shard["files"]] for shard in manifest["shards"]]
    assert rows == [[80]] * 5  # eight missing classes of ten images each
    page = (clone.place / "data/report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert 'src="data:image/png' in page
    for fill in ("none", "transforms", "synthetic", "warm-up"):
        folder = clone.place / f"data/train/{fill}-fedavg"
        assert list((folder / "weights").glob("*.safetensors"))
    arms = {"none", "transforms", "synthetic", "warm-up", "central-real", "central-synthetic"}
    assert {path.stem for path in (clone.place / "data/metrics").iterdir()} == {f"{arm}-fedavg" for arm in arms}
    assert set(clone.stages) == {
        *FINGERPRINTS,
        "partition",
        "deficits",
        "generate",
        "evaluate",
        "fill",
        "train",
        "report",
    }


def test_a_second_repro_runs_only_the_fingerprints_also_with_equal_images_and_model_elsewhere(clone: Clone) -> None:
    """In folders that git ignores, with what a file manager leaves there, and a remark in the prompt set."""
    whole = (clone.place / "params.yaml").read_text()
    places = {"data/demo/images": "data/mine", "data/demo/model": "data/drawer", "data/prompts": "data/words"}
    text = whole
    for here, there in places.items():
        assert text.count(here) == 1
        text = text.replace(here, there)
        shutil.copytree(clone.place / here, clone.place / there)
        (clone.place / there / ".DS_Store").write_text("a file manager's")
    with (clone.place / "data/words/plain.yaml").open("a") as file:
        file.write("# a remark\n")
    (clone.place / "params.yaml").write_text(text)
    done = clone.run("dvc", "repro")
    assert re.findall(r"Running stage '(.*)'", done.stdout) == list(FINGERPRINTS)
    assert "fingerprint of the images: as before" in done.stderr
    assert "fingerprint of the model: as before" in done.stderr
    assert "fingerprint of the words: as before" in done.stderr
    (clone.place / "params.yaml").write_text(whole)


@pytest.mark.parametrize(
    "fills", [["none; touch injected; true", "synthetic"], ["../../../victim/x"]], ids=["command", "path"]
)
def test_a_hostile_params_yaml_is_refused_in_one_line_and_touches_nothing(tmp_path: Path, fills: list[str]) -> None:
    """In a fresh clone; such a list became a shell's command, or a file that DVC deleted before the command."""
    fresh, victim = Clone(tmp_path / "fresh/clone"), tmp_path / "fresh/victim"
    document = yaml.safe_load(small())
    document["train"] |= {"fills": fills, "alone": []}
    (fresh.place / "params.yaml").write_text(yaml.safe_dump(document))
    victim.mkdir()
    (victim / "x.parquet").write_text("mine")
    done = fresh.run("dvc", "repro", code=255)
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [
        f"error: unknown fill {fills[0]!r}: params.yaml, train.fills: one of {', '.join(names())}"
    ]
    assert "Traceback" not in done.stderr
    assert re.findall(r"Running stage '(.*)'", done.stdout) == ["fingerprint-images"]
    assert (victim / "x.parquet").read_text() == "mine"
    assert not list(tmp_path.rglob("injected"))


def test_another_clone_gives_the_same_bytes_with_other_numbers_of_workers(clone: Clone, tmp_path: Path) -> None:
    """Its stages run one after the other in this process; that DVC runs them is shown by the first clone."""
    other = Clone(tmp_path / "other")
    for stage in ("fingerprint", "partition", "deficits"):
        other.call(stage)
    other.call("generate", "--devices", "cpu")
    other.call("evaluate", "--devices", "cpu")
    other.call("fill")
    other.call("train", "--workers", "1")
    other.call("report")
    assert other.products() == clone.products()


def test_results_are_printed(clone: Clone) -> None:
    printed = clone.call("results").stdout
    assert "synthetic - none" in printed
    assert "data/report.html" in printed


def test_a_lost_shard_is_regenerated_and_dvc_is_content(clone: Clone) -> None:
    before = clone.products()
    (clone.place / "data/shards/client-00003.parquet").unlink()
    assert "shard missing" in clone.call("verify", code=2).stderr
    said = clone.call("regenerate", "--client", "3").stdout
    assert "0 images rendered" in said
    assert "byte for byte the shard that the manifest names" in said
    clone.run("dvc", "status", "-q", "generate", "fill", "report")
    assert clone.products() == before
    fresh = clone.call("regenerate", "--client", "3", "--fresh").stdout
    assert "byte for byte" in fresh
    assert "client 3: 0 images" not in fresh
    assert clone.products() == before


def test_a_shard_of_other_bytes_is_adopted_by_the_commands_that_regenerate_names(clone: Clone) -> None:
    saved = clone.products()
    with closing(sqlite3.connect(clone.pool)) as database:
        lane, name, image = database.execute(
            "select lane, class_name, image from images where lane = '2' and \"index\" = 0 limit 1"
        ).fetchone()
        other = database.execute("select image from images where lane = '3' limit 1").fetchone()[0]
        where = 'where lane = ? and class_name = ? and "index" = 0'
        with database:
            database.execute(f"update images set image = ? {where}", (other, lane, name))
        said = clone.call("regenerate", "--client", "2").stdout
        assert "the manifest now names these" in said
        assert "dvc commit -f generate && dvc repro" in said
        clone.call("verify")
        with database:
            database.execute(f"update images set image = ? {where}", (image, lane, name))
    clone.call("regenerate", "--client", "2")
    assert clone.products() == saved


def test_verify_renders_images_again(clone: Clone) -> None:
    said = clone.call("verify", "--rerender", "5", "--devices", "cpu").stdout
    assert "5 random images rendered again: byte for byte the same" in said


def test_status_and_preview(clone: Clone) -> None:
    said = clone.call("status").stdout
    assert "0 to render" in said
    clone.call("preview", "--client", "1", "--out", "sheet.png")
    assert (clone.place / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_tampered_shard_is_refused_by_training(clone: Clone) -> None:
    shard = clone.place / "data/shards/client-00001.parquet"
    whole = shard.read_bytes()
    shard.unlink()  # not through a link into DVC's cache
    shard.write_bytes(whole[:-1] + b"x")
    done = clone.call("train", "--fill", "synthetic", code=2)
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith("error: shard differs from the manifest: data/shards/client-00001")
    )
    shard.write_bytes(whole)


def test_changed_deficits_are_refused_by_regenerate(clone: Clone) -> None:
    path = clone.place / "params.yaml"
    whole = path.read_text()
    path.write_text(whole.replace("steps: 2", "steps: 3"))
    done = clone.call("regenerate", "--client", "1", code=2)
    assert "another recipe (differs in steps)" in done.stderr
    path.write_text(whole)


def half_way(clone: Clone, place: Path, devices: str) -> tuple[Clone, "subprocess.Popen[str]"]:
    """Start to generate in a new clone with an empty pool; return when the first batch is in it."""
    other = Clone(place)
    for name in ("data/partition.parquet", "data/deficits.csv"):
        shutil.copy(clone.place / name, other.place / name)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "generate", "--devices", devices],
        cwd=other.place,
        env=other.environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None and held(other.pool) == 0:
        time.sleep(0.01)
    return other, process


def test_kill_in_the_middle_of_generate_loses_only_the_batch_in_hand(clone: Clone, tmp_path: Path) -> None:
    killed, process = half_way(clone, tmp_path / "killed", "cpu")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = held(killed.pool)
    planned = pq.read_table(clone.place / "data/shards").num_rows
    assert 0 < kept < planned, "the kill came too early or too late to show anything"
    assert not (killed.place / "data/manifest.json").exists()
    said = killed.run("pipeline", "generate", GEN_FEDSD_DEVICES="cpu").stderr
    assert f"generate: {planned - kept} images rendered" in said
    made = ("data/partition", "data/shards", "data/manifest")
    assert killed.products() == {name: digest for name, digest in clone.products().items() if name.startswith(made)}


def test_ctrl_c_ends_with_one_line_and_keeps_what_is_finished(clone: Clone, tmp_path: Path) -> None:
    stopped, process = half_way(clone, tmp_path / "stopped", "cpu*2")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    said = process.communicate()[1]
    assert process.returncode == 130
    assert said.splitlines()[-1] == "error: interrupted: what is finished is kept: run again to resume"
    assert "Traceback" not in said
    assert held(stopped.pool) % 16 == 0  # whole batches


def held(pool: Path) -> int:
    """Return how many images a pool holds that another process may be writing."""
    if not pool.is_file():
        return 0
    with closing(sqlite3.connect(f"file:{pool}?mode=ro", uri=True, timeout=10)) as database:
        try:
            count: int = database.execute("select count(*) from images").fetchone()[0]
        except sqlite3.OperationalError:  # its tables are not made yet
            return 0
    return count
