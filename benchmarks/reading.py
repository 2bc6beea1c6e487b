"""How fast a client's images come to its training: read from disk by the batch, or copied side by side in advance.

    python benchmarks/reading.py

Both train the same client in batches of 32, in turns A B A B, and end in the same weights. One line of JSON: the median
seconds of each, the ratio pair by pair (lowest, median, highest), and the bytes that the copy takes.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

TURNS = 5
CASES = {
    "32 px, 600 images, simple-cnn": (32, 600, "simple-cnn", 600),
    "224 px, 1,000 images, simple-cnn": (224, 1_000, "simple-cnn", 128),
}
"""Pixels a side, images, model, samples."""


def train(stored: list[Any], size: int, model: str, samples: int, copied: bool) -> tuple[float, bytes]:
    """Train one client that holds half of each source; return the seconds and the weights."""
    import torch

    from pipeline.federated import local
    from pipeline.federated.algorithm import LocalSettings
    from pipeline.federated.algorithms.fedavg import FedAvg
    from pipeline.federated.local import Normalisation
    from pipeline.federated.models import FlatModel, SecondModels
    from pipeline.federated.pictures import ClientPictures

    torch.set_num_threads(1)
    flat = FlatModel(model, "group", 10, size, seed=1)
    broadcast = {"weights": flat.vector.numpy().copy()}
    rows = [np.arange(len(one) // 4, len(one) // 4 + len(one) // 2) for one in stored]
    labels = torch.from_numpy(np.concatenate([one.labels[held] for one, held in zip(stored, rows, strict=True)]))
    start = time.perf_counter()
    parts = [(torch.from_numpy(one.pixels), held) for one, held in zip(stored, rows, strict=True)]
    whole = local.Loaded(torch.cat([pixels[held[0] : held[-1] + 1] for pixels, held in parts])) if copied else None
    update = local.train_client(
        flat,
        FedAvg(),
        broadcast,
        {},
        whole or ClientPictures(parts, "cpu"),
        labels,
        real=torch.ones(len(labels), dtype=torch.bool),
        normalise=Normalisation((120.0,) * 3, (60.0,) * 3).on(size, "cpu"),
        settings=LocalSettings(32, 0.9, 0.0),
        learning_rate=0.01,
        samples=samples,
        weight=len(labels),
        seed=3,
        second_model=SecondModels(lambda: flat),
    )
    return time.perf_counter() - start, update.up["weights"].tobytes()


def main() -> None:
    from pipeline.data import arrays

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for case, (size, count, model, samples) in CASES.items():
            rng = np.random.default_rng(0)
            stored = [
                arrays.store(
                    Path(folder),
                    f"{size}-{part}",
                    rng.integers(0, 10, count),
                    size,
                    lambda size=size, count=count, rng=rng: (
                        rng.integers(0, 256, (1, size, size, 3)).astype(np.uint8) for _ in range(count)
                    ),
                )
                for part in range(2)
            ]
            pairs = []
            for _ in range(TURNS + 1):
                copied, by_batch = (train(stored, size, model, samples, copy) for copy in (True, False))
                assert copied[1] == by_batch[1]
                pairs.append((copied[0], by_batch[0]))
            del pairs[0]  # a warm-up
            ratios = sorted(batch / copy for copy, batch in pairs)
            found[case] = {
                "copied": round(statistics.median(copy for copy, _ in pairs), 3),
                "by the batch": round(statistics.median(batch for _, batch in pairs), 3),
                "ratio": [round(value, 3) for value in (ratios[0], statistics.median(ratios), ratios[-1])],
                "bytes copied": count * size * size * 3,
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
