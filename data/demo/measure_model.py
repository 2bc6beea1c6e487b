"""Measure the demo model: are its images useful, true to their class, quick to make?

* ``synthetic``: accuracy on the real test images of a small CNN trained on 5,000 generated images only (500 a class);
* ``real``: the same CNN trained on 5,000 of the clients' real images;
* ``agreement``: share of generated images whose class a classifier trained on the 30,000 real images that the
  generator never saw agrees with;
* ``images_per_second`` on one core, by batches of 64.

``--guidance`` takes several scales and judges each on the validation images, which nothing is trained on: this is how
the default was chosen. Prints one JSON line for each. Run ``python data/demo/measure_model.py`` (10 minutes).
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import StableDiffusionPipeline
from make_data import CLASS_NAMES, IDX_FOLDER, PUBLIC, client_rows, read_split
from torch import Tensor, nn

BATCH = 64


def small_cnn() -> nn.Module:
    """Two 5x5 convolutions of 16 and 32 channels and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 64, 128),
        nn.ReLU(),
        nn.Linear(128, len(CLASS_NAMES)),
    )


def fit(images: Tensor, labels: Tensor, epochs: int, seed: int) -> nn.Module:
    """Train the CNN on grey images (N, 1, 32, 32) in [0, 1]; the learning rate falls along a cosine."""
    torch.manual_seed(seed)
    model = small_cnn()
    steps = epochs * (len(labels) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(BATCH)[: len(labels) // BATCH]:
            loss = F.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            decay.step()
    return model.eval()


@torch.inference_mode()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    right = sum(int((model(x).argmax(1) == y).sum()) for x, y in zip(images.split(500), labels.split(500), strict=True))
    return right / len(labels)


@torch.inference_mode()
def generate(
    pipeline: StableDiffusionPipeline, per_class: int, steps: int, guidance: float
) -> tuple[Tensor, Tensor, float]:
    """Return grey images, labels, and images per second."""
    images, labels = [], torch.arange(len(CLASS_NAMES)).repeat_interleave(per_class)
    generator = torch.Generator().manual_seed(0)
    start = time.monotonic()
    for batch in labels.split(BATCH):
        prompts = [f"a photo of a {CLASS_NAMES[label]}" for label in batch.tolist()]
        made = pipeline(
            prompts, num_inference_steps=steps, guidance_scale=guidance, generator=generator, output_type="pt"
        ).images
        images.append((made.mean(1, keepdim=True) * 255).round() / 255)
    return torch.cat(images), labels, len(labels) / (time.monotonic() - start)


def as_tensors(images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(images.astype(np.float32) / 255)[:, None], torch.from_numpy(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--idx", type=Path, default=IDX_FOLDER, help="folder of the four idx .gz files")
    parser.add_argument("--model", type=Path, default=Path(__file__).parent / "model")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--guidance", type=float, nargs="*", help="judge these scales on the validation images instead")
    parser.add_argument("--per-class", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=2, help="classifiers trained for each number")
    args = parser.parse_args()
    torch.set_num_threads(1)

    images, labels = read_split(args.idx, "train")
    clients = client_rows(labels)
    private = np.arange(PUBLIC, len(labels))
    validation = np.setdiff1d(private, clients)
    pipeline = StableDiffusionPipeline.from_pretrained(args.model, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)

    def mean(training: tuple[Tensor, Tensor], judged: tuple[Tensor, Tensor]) -> float:
        found = [accuracy(fit(*training, 20, seed), *judged) for seed in range(args.seeds)]
        return round(sum(found) / len(found), 4)

    if args.guidance:
        judged = as_tensors(images[validation], labels[validation])
        for guidance in args.guidance:
            made, classes, _ = generate(pipeline, args.per_class, args.steps, guidance)
            print(json.dumps({"guidance": guidance, "validation": mean((made, classes), judged)}), flush=True)
        return
    test = as_tensors(*read_split(args.idx, "t10k"))
    made, classes, rate = generate(pipeline, args.per_class, args.steps, 1.5)
    half = np.concatenate([clients[labels[clients] == c][: args.per_class] for c in range(len(CLASS_NAMES))])
    judge = fit(*as_tensors(images[private], labels[private]), 8, 0)
    print(
        json.dumps(
            {
                "synthetic": mean((made, classes), test),
                "real": mean(as_tensors(images[half], labels[half]), test),
                "agreement": round(accuracy(judge, made, classes), 4),
                "judge": round(accuracy(judge, *test), 4),
                "images_per_second": round(rate, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
