"""How fast images are made, against the loop that a user would write from the documentation of diffusers.

    python benchmarks/generation.py            # all parts, about half an hour on two cores
    python benchmarks/generation.py c d        # some of them
    python benchmarks/generation.py --repeats 1 --share 0.1 a b c d memory   # a quick look

The loop asks the pipeline for one client's images of one class at a time and saves PNG files. Both draw the same plan
with the shipped model, in turns (ours, loop, ours, loop); a part's ratio is that of the medians. Every measurement runs
in a process of its own. Parts:

a  the loop as it stands (float32, all threads) against ours with two workers and dtype auto; wall time of the process,
   and the ratio without the start (imports, loading), which is the time of a plan of 80 images
b  equal dtype, one worker, one thread, the demo's plan; imports and loading left out
c  as b, with a ragged plan: 100 clients by Dirichlet(0.1), deficits mostly of 1 to 40 images
d  the floor: the UNet's and the decoder's forward passes alone for our batches, divided by our wall time
memory  peak resident memory of ours for 1,000 and for 20,000 images

Prints one line of JSON.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "data/demo/model"
STEPS, GUIDANCE, BATCH, SEED = 8, 1.0, 64, 2
NAMES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def demo_plan(share: float) -> NDArray[np.int64]:
    """10 clients that lack 8 of 10 classes, as in the demo: (clients, classes) images to make."""
    counts = np.full((10, 10), round(112 * share))
    for client in range(10):
        counts[client, [client, (client + 3) % 10]] = 0
    return counts


def ragged_plan(share: float) -> NDArray[np.int64]:
    """100 clients of 20 images on average by Dirichlet(0.1), raised to their largest class; a share of the clients.

    In all 12,620 images; of the 883 calls of the loop 95 % are for 1 to 40 images, half of them for at most 9.
    """
    from pipeline.clients.deficits import own_max
    from pipeline.clients.partition import partition
    from pipeline.params import DeficitsParams, PartitionParams

    labels, clients = np.repeat(np.arange(10), 200), 100
    rows, owners = partition(
        labels, 10, PartitionParams(scheme="dirichlet", clients=clients, alpha=0.1, min_size=1), SEED
    )
    have = np.zeros((clients, 10), np.int64)
    np.add.at(have, (owners, labels[rows]), 1)
    lacking = own_max(have, DeficitsParams(rule="own-max"), np.random.default_rng(SEED)) - have
    return lacking[: max(1, round(clients * share))]


def resolved(dtype: str, devices: list[str]) -> Any:
    """The shipped model and how it is sampled here."""
    from pipeline.generation.devices import resolve_dtype
    from pipeline.generation.model import resolve
    from pipeline.params import GenerateParams
    from pipeline.workspace import Workspace

    chosen = GenerateParams(
        model=str(MODEL),
        prompts=str(ROOT / "data/prompts/plain.yaml"),
        steps=STEPS,
        guidance=GUIDANCE,  # type: ignore[arg-type]  # one number stands for itself
        dtype=dtype,  # type: ignore[arg-type]
        batch_size=BATCH,
    )
    return resolve(Workspace(), chosen, SEED, 32, resolve_dtype(dtype, devices))


def ours(missing: NDArray[np.int64], dtype: str, devices: list[str]) -> dict[str, float]:
    """Fill an empty pool and write all shards; the imports of an inline run are left out."""
    from pipeline.generation import assemble
    from pipeline.generation.plan import Plan
    from pipeline.generation.pool import Pool
    from pipeline.generation.render import render_missing
    from pipeline.generation.request import Request
    from pipeline.workspace import Workspace

    if len(devices) == 1:
        import pipeline.generation.diffusion  # noqa: F401
    start = time.perf_counter()
    model, workspace = resolved(dtype, devices), Workspace()
    plan = Plan(model.recipe, missing, NAMES, NAMES, "own")
    with Pool(workspace.pool) as pool:
        render_missing(pool, Request(plan, model), devices)
        for client in range(len(missing)):
            assemble.write(pool, plan, client, workspace.shards, 500)
    return {"seconds": time.perf_counter() - start, "megabytes": _peak()}


def loop(missing: NDArray[np.int64], dtype: str, threads: int) -> dict[str, float]:
    """What the documentation of diffusers suggests: a call for each client and class, a PNG file for each image."""
    import torch
    from diffusers import StableDiffusionPipeline

    torch.set_num_threads(threads)
    start = time.perf_counter()
    pipe = StableDiffusionPipeline.from_pretrained(MODEL, dtype=getattr(torch, dtype), safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    torch.manual_seed(SEED)
    for client, counts in enumerate(missing.tolist()):
        for name, count in zip(NAMES, counts, strict=True):
            if count:
                prompts = [f"a photo of a {name}"] * count
                images = pipe(prompts, num_inference_steps=STEPS, guidance_scale=GUIDANCE).images
                folder = Path(f"{client}/{name}")
                folder.mkdir(parents=True)
                for index, image in enumerate(images):
                    image.save(folder / f"{index}.png")
    return {"seconds": time.perf_counter() - start}


def floor(images: int, dtype: str) -> dict[str, float]:
    """Time the networks alone and our whole way with a loaded model, in turns; return the medians' seconds."""
    import torch

    from pipeline.generation.engines import Inline
    from pipeline.generation.plan import Plan
    from pipeline.generation.pool import Pool
    from pipeline.generation.render import render_missing
    from pipeline.generation.request import Request
    from pipeline.workspace import Workspace

    model = resolved(dtype, ["cpu"])
    engine = Inline(model, "cpu")
    pipe = engine._model.pipeline
    tokens = pipe.tokenizer("a photo of a bag", padding="max_length", return_tensors="pt").input_ids

    @torch.inference_mode()
    def networks() -> None:
        embeddings = pipe.text_encoder(tokens)[0].expand(BATCH, -1, -1).contiguous()
        latents = torch.randn(BATCH, 4, 8, 8).to(embeddings.dtype)
        pipe.scheduler.set_timesteps(STEPS)
        for _ in range(-(-images // BATCH)):
            for moment in pipe.scheduler.timesteps:
                pipe.unet(latents, moment, encoder_hidden_states=embeddings, return_dict=False)
            pipe.vae.decode(latents, return_dict=False)

    def whole(turn: int) -> None:
        plan = Plan(model.recipe, even_plan(images), NAMES, NAMES, "own")
        with Pool(Workspace().cache / f"{turn}.sqlite") as pool:
            render_missing(pool, Request(plan, model), ["cpu"], make=lambda *_: engine)

    seconds: dict[str, list[float]] = {"networks": [], "whole": []}
    whole(0)
    for turn in range(1, 4):
        for name, run in (("networks", networks), ("whole", lambda turn=turn: whole(turn))):
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in seconds.items()}


def even_plan(images: int) -> NDArray[np.int64]:
    """10 clients that lack equally many images of each class."""
    return np.full((10, 10), images // 100)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


MEASURES: dict[str, Callable[[float], dict[str, float]]] = {
    "a ours": lambda share: ours(demo_plan(share), "auto", ["cpu", "cpu"]),
    "a loop": lambda share: loop(demo_plan(share), "float32", os.cpu_count() or 1),
    "b ours": lambda share: ours(demo_plan(share), "auto", ["cpu"]),
    "b loop": lambda share: loop(demo_plan(share), resolved("auto", ["cpu"]).recipe.dtype, 1),
    "c ours": lambda share: ours(ragged_plan(share), "auto", ["cpu"]),
    "c loop": lambda share: loop(ragged_plan(share), resolved("auto", ["cpu"]).recipe.dtype, 1),
    "d": lambda share: floor(round(20 * share) * 100, "auto"),
    "memory 1000": lambda _: ours(even_plan(1_000), "auto", ["cpu"]),
    "memory 20000": lambda share: ours(even_plan(round(200 * share) * 100), "auto", ["cpu"]),
}


def measure(name: str, share: float) -> dict[str, float]:
    """Run one measurement in a fresh process, in an empty folder; add the process's wall time."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GEN_FEDSD_CACHE": folder, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, __file__, "--share", str(share), "--measure", name]
        start = time.perf_counter()
        answer = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        result: dict[str, float] = json.loads(answer.stdout)
        return {**result, "process_seconds": time.perf_counter() - start}


def compare(part: str, repeats: int, share: float, key: str) -> dict[str, Any]:
    """Measure ours and the loop in turns; the ratio says how many times as fast ours is."""
    seconds: dict[str, list[float]] = {"ours": [], "loop": []}
    for _ in range(repeats):
        for side, values in seconds.items():
            values.append(round(measure(f"{part} {side}", share)[key], 2))
    ratio = statistics.median(seconds["loop"]) / statistics.median(seconds["ours"])
    return {"ratio": round(ratio, 2), **{f"{side}_seconds": values for side, values in seconds.items()}}


def whole(repeats: int, share: float) -> dict[str, Any]:
    """Compare wall times of processes, with and without what they take to start."""
    found = compare("a", repeats, share, "process_seconds")
    starts = {side: round(measure(f"a {side}", 0.009)["process_seconds"], 2) for side in ("ours", "loop")}
    loop, mine = (statistics.median(found[f"{side}_seconds"]) - starts[side] for side in ("loop", "ours"))
    return {**found, "start_seconds": starts, "ratio_without_start": round(loop / mine, 2)}


def run(part: str, repeats: int, share: float) -> dict[str, Any]:
    if part == "a":
        return whole(repeats, share)
    if part == "d":
        found = [measure("d", share) for _ in range(repeats)]
        each = [round(one["networks"] / one["whole"], 3) for one in found]
        return {"share_of_floor": statistics.median(each), "each": each}
    if part == "memory":
        small, large = (round(measure(f"memory {n}", share)["megabytes"]) for n in (1000, 20000))
        return {"megabytes": {"1000": small, str(round(200 * share) * 100): large}, "ratio": round(large / small, 3)}
    return compare(part, repeats, share, "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["a", "b", "c", "d", "memory"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the images of each plan")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(MEASURES[options.measure](options.share)))
        return
    print(json.dumps({part: run(part, options.repeats, options.share) for part in options.parts}))


if __name__ == "__main__":
    main()
