"""Push and pull in processes of their own: what they print, and what is left when one is killed or cut off."""

import signal
import subprocess
from hashlib import sha256
from pathlib import Path

import hf_xet

from pipeline.workspace import Workspace
from tests.hub.conftest import Command
from tests.hub.publishing import ALL, BESIDE, FILES, REPO, contents, push, shard_path
from tests.hub.server import Hub


def result(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return exit code, output and what went to stderr."""
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_the_commands(hub: Hub, project: Path, tmp_path: Path, gen_fedsd: Command) -> None:
    """Push, dry run and pull by the command line; a wrong token is one line and exit code 2."""
    refused, dry = gen_fedsd("push", HF_TOKEN="hf_nonsense"), gen_fedsd("push", "--dry-run")
    code, out, err = result(refused)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: the Hub does not accept this token (401): ada/fill: log in")
    assert "hf_nonsense" not in err
    code, out, err = result(dry)
    assert out.startswith(f"{REPO} (a new private repository): 8 files to upload")
    code, out, err = result(gen_fedsd("push", "--tag", "v1", "--license", "cc0-1.0"))
    assert code == 0, err
    assert out.startswith(f"{REPO} (private): 8 files to upload")
    assert b"license: cc0-1.0" in hub.tree(REPO)["README.md"]
    update = gen_fedsd("push", "--client", "1", "--client", "2")
    fetch = gen_fedsd("pull", "--revision", "v1", GEN_FEDSD_CACHE=str(tmp_path / "other"))
    code, out, err = result(update)
    assert out == f"{REPO} (private): nothing to do, all 5 files are there\n"
    code, out, err = result(fetch)
    assert code == 0, err
    assert "; 42 are new in " in out


def test_a_push_that_is_killed_commits_nothing_and_can_be_resumed(hub: Hub, project: Path, gen_fedsd: Command) -> None:
    """SIGKILL while the third file is on its way: the next push sends what had not arrived, and no file twice."""
    before = contents(project)
    killed: list[subprocess.Popen[str]] = []
    hub.fail("lfs-put", lambda: None, lambda: None, lambda: killed[0].send_signal(signal.SIGKILL), "drop", "drop")
    killed.append(gen_fedsd("push"))
    assert result(killed[0])[0] == -signal.SIGKILL
    hub.hear_out()
    assert set(hub.tree(REPO)) == {".gitattributes"}
    assert len(hub.objects) == 3
    hub.requests.clear()
    push(ALL)
    assert hub.count("lfs-put") == 5 - 3
    assert set(hub.tree(REPO)) - {".gitattributes"} == FILES | BESIDE
    assert contents(project) == before


def test_by_xet(hub: Hub, project: Path, tmp_path: Path, gen_fedsd: Command) -> None:
    """The real Xet client cuts the files up and stores them; in the one commit they are named by their checksums."""
    store, temporary = tmp_path / "store", tmp_path / "temporary"
    temporary.mkdir()
    hub.xet = f"local://{store}"

    def arrive() -> None:
        """Let the Hub find what is in the store, whose format it does not know."""
        assert sum(path.stat().st_size for path in store.rglob("*") if path.is_file()) > 10_000
        contents = [path.read_bytes() for path in [*Workspace().shards.glob("*.parquet"), *temporary.rglob("*.png")]]
        hub.objects.update({sha256(content).hexdigest(): content for content in contents})
        shards = list(Workspace().shards.glob("*.parquet"))
        for path, hashed in zip(shards, hf_xet.hash_files([str(path) for path in shards]), strict=True):
            hub.xet_hashes[sha256(path.read_bytes()).hexdigest()] = hashed.hash

    hub.fail("commit", arrive)
    code, _, err = result(gen_fedsd("push", HF_HUB_DISABLE_XET="0", TMPDIR=str(temporary)))
    assert code == 0, err
    assert hub.count("lfs-put") == hub.count("lfs-batch") == 0
    assert (hub.count("xet-token"), hub.count("commit")) == (1, 1)
    assert "%" not in err  # the client's own bars
    assert hub.tree(REPO)["data/000/client-00001.parquet"] == shard_path(1).read_bytes()
    hub.requests.clear()
    code, out, err = result(gen_fedsd("pull", HF_HUB_DISABLE_XET="0", GEN_FEDSD_CACHE=str(tmp_path / "other")))
    assert code == 0, err
    assert "; 42 are new in " in out
    assert hub.count("lfs-get") == 0
    assert hub.count("xet-token") > 0


def test_a_store_of_xet_that_is_away_is_one_clear_line(hub: Hub, project: Path, gen_fedsd: Command) -> None:
    hub.xet = "http://127.0.0.1:1"
    once = {"HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1", "HF_XET_CLIENT_RETRY_MAX_DURATION": "1s"}
    code, out, err = result(gen_fedsd("push", HF_HUB_DISABLE_XET="0", **once))
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        f"error: the connection to the Hub failed (ConnectionError): {REPO}: try again later; what was sent is kept"
    )
    assert set(hub.tree(REPO)) == {".gitattributes"}
    push(ALL)
    hub.xet_hashes = {sha256(path.read_bytes()).hexdigest(): "a" * 64 for path in Workspace().shards.glob("*.parquet")}
    for store in (hub.xet, hub.store):  # nobody there, and somebody who knows no such file
        hub.xet = store
        code, out, err = result(gen_fedsd("pull", HF_HUB_DISABLE_XET="0", **once))
        assert (code, out) == (2, "")
        assert err.splitlines()[-1].startswith("error: the connection to the Hub failed (")
        assert "Traceback" not in err
