"""What the commands print of the values that they get."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.cli import cache, hub, images, pool, report, runs, text
from pipeline.commands.cache import Collected as CollectedCache
from pipeline.commands.cache import Part
from pipeline.commands.cache import Stats as CacheStats
from pipeline.commands.published_params import Fetched
from pipeline.commands.pull import Pulled, Use
from pipeline.commands.regenerate import NextStep, Regenerated
from pipeline.commands.results import Results
from pipeline.commands.runs import Collected as CollectedRuns
from pipeline.commands.runs import Stats as RunStats
from pipeline.commands.status import ClientStatus, Cost, Status
from pipeline.federated.runs import StoredRun
from pipeline.generation.devices import Assumption
from pipeline.generation.pool import Collected, Entry, Stats
from pipeline.generation.rates import Estimate, Rate
from pipeline.hub.publication import Changes, Item
from pipeline.hub.push import Pushed
from pipeline.reporting.tables import Table
from tests.generation.conftest import small_recipe


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [("fill", "accuracy"), ("none", "60.1 ± 3.3"), ("synthetic", "9")]
    assert text.table(rows).split("\n") == ["fill       accuracy", "none       60.1 ± 3.3", "synthetic  9"]
    assert text.table(rows, right=True).split("\n") == [
        "     fill    accuracy",
        "     none  60.1 ± 3.3",
        "synthetic           9",
    ]


def test_rows_of_different_lengths_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="zip"):
        text.table([("a", "b"), ("c",)])


def test_a_table_of_no_rows_is_empty() -> None:
    assert text.table([]) == ""


def cost(held: int = 7, rate: float | None = 0.1, size: float | None = 500_000, sharing: str = "own") -> Cost:
    assumed = Assumption("float16", "assumed, since this machine has an NVIDIA GPU")
    measured = Rate(rate or 1.0, 1, "cpu", "A CPU", 640, int(time.time()) - 7_300)
    estimate = None if rate is None else Estimate(rate, measured)
    return Cost("0123", assumed, sharing, 3, 11, 9, held, 4, estimate, size)


def test_the_cost_of_what_is_missing() -> None:
    """Nine images, three held, batches of four: six images, two batches, 60 s at 0.1/s, 3 MB of 0.5 MB each."""
    assert images.cost_text(cost(held=3)).split("\n") == [
        "recipe 0123, float16 (assumed, since this machine has an NVIDIA GPU): 11 images planned for 3 clients, "
        "9 distinct (each client has its own), 3 in the pool",
        "6 not in the pool, to render in about 2 batches of 4: about 0:01:00 at 0.1 images/s (measured 2 hours ago "
        "over 640 images on 1 worker, A CPU), about 3.0 MB in the pool",
    ]
    assert images.cost_text(cost(rate=None, size=None, sharing="common")).endswith(
        "9 distinct (clients share them), 7 in the pool\n"
        "2 not in the pool, to render in about 1 batches of 4: rate not yet known (gen-fedsd generate --dry-run "
        "--probe measures it), size not yet known"
    )
    assert images.cost_text(cost(held=9)).endswith("9 in the pool\n0 to render")


@pytest.mark.parametrize(
    ("passed", "expected"),
    [(-5, "just now"), (59, "just now"), (61, "1 minute ago"), (7_300, "2 hours ago"), (86_500, "1 day ago")],
)
def test_how_long_ago_is_told_in_the_largest_whole_unit(passed: float, expected: str) -> None:
    assert text.ago(time.time() - passed) == expected


def test_the_status_is_a_table_of_clients_and_the_cost() -> None:
    clients = (ClientStatus(0, 5, 3, 0), ClientStatus(1, 0, 0, 0), ClientStatus(2, 1000, 4, 1000))
    found = Status(clients, cost(), None)
    assert images.status_text(found).split("\n")[:4] == [
        "client  planned  in pool  in shards  in neither",
        "     0        5        3          0           2",
        "     1        0        0          0           0",
        "     2     1000        4       1000           0",
    ]
    assert images.status_text(found).endswith("\n" + images.cost_text(cost()))


def test_the_status_shows_what_the_user_calls_each_client() -> None:
    found = Status((ClientStatus(0, 5, 3, 0, "ann"), ClientStatus(1, 0, 0, 0, "w2")), cost(), None)
    assert images.status_text(found).split("\n")[:3] == [
        "client  name  planned  in pool  in shards  in neither",
        "     0   ann        5        3          0           2",
        "     1    w2        0        0          0           0",
    ]


def test_every_next_step_after_a_changed_shard_has_its_advice() -> None:
    same = Regenerated(7, 2, 5, (Path("a.parquet"), Path("b.parquet")), None)
    assert images.regenerated_text(same) == (
        "client 7: 2 images rendered, 5 in a.parquet, b.parquet, byte for byte the shard that the manifest names"
    )
    for step, advice in (
        (NextStep.TRAIN, "Train again to use them."),
        (NextStep.COMMIT, "To adopt them: dvc commit -f generate && dvc repro "),
        (NextStep.REPRO, "Parameters, code or inputs of the stage changed too, so run: dvc repro generate"),
    ):
        first, second = images.regenerated_text(Regenerated(7, 2, 5, (Path("a.parquet"),), step)).split("\n")
        assert first.endswith("not the bytes that the manifest named; the manifest now names these.")
        assert second.startswith(advice)


def test_pools() -> None:
    stats = Stats(Path("pool.sqlite"), 2_500_000, 6, 1_200_000, 2, 3, 1, 0)
    assert pool.stats_text(stats) == (
        "pool.sqlite: 2.5 MB on disk\n6 images (1.2 MB) of 2 recipes in 3 lanes; 1 drawn more than once, 0 faint"
    )
    assert pool.collected_text(Collected(6, 1_200_000), dry_run=True) == "6 images (1.2 MB) would be deleted"
    assert pool.collected_text(Collected(6, 1_200_000), dry_run=False) == "6 images (1.2 MB) deleted"


def test_the_recipes_of_a_pool_are_a_table() -> None:
    """Seconds since 1970: a day has 86,400."""
    recipe = replace(small_recipe(), model="a" * 40, steps=30, guidance=(1.0, 2.5))
    entries = [
        Entry("0123456789abcdef", recipe, 6, 1_200_000, 0, 86_400),
        Entry("ab", recipe, 0, 0, None, None),
        Entry("cd", None, 1, 10, 0, 2**62),
    ]
    assert [line.split("  ") for line in pool.recipes_text(entries).split("\n")][1][-1] == (
        "30 steps, guidance 1 2.5, float32, seed 7"
    )
    lines = pool.recipes_text(entries).split("\n")
    assert lines[0].split() == ["recipe", "images", "size", "first", "last", "model", "settings"]
    assert lines[1].split()[:7] == ["0123456789abcdef", "6", "1.2", "MB", "1970-01-01", "1970-01-02", "a" * 28]
    assert lines[2].split()[:5] == ["ab", "0", "0.0", "MB", "a" * 28]
    assert lines[3].split()[4:6] == ["1970-01-01", "?"]
    assert lines[3].endswith("  damaged, or of another version of gen-fedsd")


def test_results_are_tables_with_remarks() -> None:
    tables = (
        Table("fedavg", ("fill", "equal steps"), (("none", "60.1 ± 3.3"),)),
        Table("central runs, for reference", ("fill", "accuracy"), (("central-real", "81.8"),)),
    )
    verdict = "With fedavg at equal steps, synthetic beats the best control."
    printed = report.results_text(
        Results("abc", verdict, tables[:1], tables[1:], ("one seed only",), Path("data/report.html"))
    )
    assert printed.split("\n") == [
        verdict,
        "",
        "Accuracy on the test images, in percent, with 95 % intervals over seeds",
        "",
        "fedavg",
        "fill  equal steps",
        "none  60.1 ± 3.3",
        "",
        "central runs, for reference",
        "fill          accuracy",
        "central-real  81.8",
        "",
        "Note: one seed only",
        "",
        "The whole report: data/report.html",
    ]
    bare = report.results_text(Results("abc", "", tables, (), (), Path("data/report.html")))
    assert bare.startswith("Accuracy on")
    assert "Note" not in bare


def test_runs() -> None:
    """Seconds since 1970: a day has 86,400; a damaged entry has neither model nor accuracy."""
    entries = [
        StoredRun("0123", 1_200_000, 86_400, "train none fedavg, seed 1", "FedAvg()", "simple-cnn", 30, 0.601, 12.3),
        StoredRun("4567", 0, 0, "damaged"),
    ]
    assert runs.runs_text(entries).split("\n") == [
        "run   size    last used   model       rounds  accuracy  seconds  trained for",
        "0123  1.2 MB  1970-01-02  simple-cnn  30      60.1      12.3     train none fedavg, seed 1",
        "4567  0.0 MB  1970-01-01                                         damaged",
    ]
    assert runs.stats_text(RunStats(Path("runs"), 2, 1_200_000)) == "runs: 2 runs, 1.2 MB on disk"
    assert runs.collected_text(CollectedRuns(2, 1_200_000), dry_run=True) == "2 runs (1.2 MB) would be deleted"
    assert runs.collected_text(CollectedRuns(2, 1_200_000), dry_run=False) == "2 runs (1.2 MB) deleted"


def test_caches() -> None:
    parts = (Part("arrays", 12, 153_600_000), Part("checkpoints", 0, 0))
    assert cache.stats_text(CacheStats(Path("cache"), parts)).split("\n") == [
        "cache",
        "kind         entries  size",
        "arrays       12       153.6 MB",
        "checkpoints  0        0.0 MB",
        "together              153.6 MB",
    ]
    done = cache.collected_text(CollectedCache(parts[:1], 2), dry_run=True).split("\n")
    assert (done[0], done[2]) == ("would be deleted:", "arrays    12       153.6 MB")
    assert done[-1] == "2 arrays stay, since a running process uses them"
    assert cache.collected_text(CollectedCache(parts, 0), dry_run=False).split("\n")[::4] == [
        "deleted:",
        "together              153.6 MB",
    ]


CHANGES = Changes({"b": Item(Path("b"), 1_500_000, ""), "a": Item(Path("a"), 1_000, "")}, ["c"], 4)


def test_what_a_push_did_or_would_do() -> None:
    done = Pushed("me/x", True, True, CHANGES, False, "0123456789abcdef", "v1")
    changes = "2 files to upload (1.5 MB), 1 to delete, 4 there already"
    assert hub.pushed_text(done) == f"me/x (private): {changes}; commit 0123456789ab, tagged v1"
    none = Pushed("me/x", False, True, Changes({}, [], 7), False)
    assert hub.pushed_text(none) == "me/x (public): nothing to do, all 7 files are there"
    dry = Pushed("me/x", False, False, CHANGES, True)
    assert hub.pushed_text(dry).split("\n") == [
        f"me/x (a new public repository): {changes}",
        "  upload a (1,000 bytes)",
        "  upload b (1,500,000 bytes)",
        "  delete c",
    ]


@pytest.mark.parametrize(
    ("use", "printed"),
    [
        (Use(), ["params.yaml asks for this recipe: what the plan wants of these images will not be rendered again"]),
        (
            Use(("steps", "dtype"), Assumption("float16", "assumed, since this machine has an NVIDIA GPU")),
            [
                "params.yaml asks for another recipe, so these images will not be used: it differs in steps, dtype",
                "generate.dtype auto: float16, assumed, since this machine has an NVIDIA GPU",
            ],
        ),
        (Use(unresolved="no such folder"), ["the recipe that params.yaml asks for is not known here (no such folder)"]),
    ],
)
def test_what_a_pull_brought(use: Use, printed: list[str]) -> None:
    fetched = Fetched(Path("params.yaml"), "same")
    done = Pulled("me/x", "0123456789abcdef", 42, 4, "abcd", 40, Path("pool.sqlite"), use, fetched)
    assert hub.pulled_text(done).split("\n") == [
        "me/x at 0123456789ab: 42 images of 4 clients, recipe abcd, all as its manifest says; "
        "40 are new in pool.sqlite",
        "params.yaml is that of the publication",
        *printed,
    ]
