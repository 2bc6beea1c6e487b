"""Steps of training that can be stopped at any moment and resumed with the same result."""

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline import atomic, progress

_POINTS = 200  # of the loss curve
Rate = Callable[[int], float]


@dataclass(frozen=True)
class Settings:
    """How a part is trained."""

    name: str
    steps: int
    batch: int
    rate: Rate
    decay: float
    """Weight decay of AdamW."""
    averaging: float
    """Of the exponential average of the weights, which is what is kept."""


@dataclass(frozen=True)
class Checkpoints:
    """The file of an unfinished part, and how often it is written."""

    path: Path
    seconds: float


def schedule(peak: float, steps: int, warmup: int, hold: float) -> Rate:
    """Linear warm-up, constant until ``hold`` (a share of the steps), then linear to 2 % of the peak."""

    def rate(step: int) -> float:
        after = max(0.0, (step / steps - hold) / (1 - hold))
        return peak * min((step + 1) / warmup, 1 - 0.98 * after)

    return rate


class Training:
    """AdamW with clipped gradients, an exponential average of the weights, and one stream of random numbers.

    Everything that the next step depends on is in the checkpoint: weights, averages, moments, the stream, and what is
    left of the current pass over the pictures.
    """

    def __init__(self, settings: Settings, modules: list[nn.Module], generator: torch.Generator) -> None:
        self.settings, self.generator, self.device = settings, generator, generator.device
        for module in modules:
            module.to(self.device).to(memory_format=torch.channels_last)
        self.averages = [copy.deepcopy(module) for module in modules]
        self._weights: list[Tensor] = [p for module in modules for p in module.parameters()]
        self._averaged: list[Tensor] = [p for module in self.averages for p in module.parameters()]
        self._fused = self.device.type == "cuda"
        self._optimizer = torch.optim.AdamW(
            self._weights,
            lr=settings.rate(0),
            betas=(0.9, 0.99),
            weight_decay=settings.decay,
            fused=self._fused or None,
        )
        self.steps, self.seconds = 0, 0.0
        self.curve: list[tuple[int, float]] = []
        """Step, and the mean loss of the steps since the point before."""
        self._left = torch.empty(0, dtype=torch.int64, device=self.device)
        self._sum, self._summed = torch.zeros((), device=self.device), 0

    def run(
        self,
        pictures: int,
        loss_of: Callable[[Tensor], Tensor],
        checkpoints: Checkpoints,
        after: Callable[[int], None] | None = None,
    ) -> None:
        """Train from where the checkpoint is to the end; ``loss_of`` is given the numbers of a batch's pictures.

        ``after`` is called after each step with the number of steps done.
        """
        if checkpoints.path.exists():
            self._load(checkpoints.path)
        saved = clock = time.monotonic()
        with progress.bar(self.settings.name, self.settings.steps, "steps", already=self.steps) as advance:
            while self.steps < self.settings.steps:
                self._step(loss_of(self._batch(pictures)))
                now = time.monotonic()
                self.seconds, clock = self.seconds + now - clock, now
                if self._point():
                    advance(0, f"loss {self.curve[-1][1]:.4f}")
                if after:
                    after(self.steps)
                if now - saved >= checkpoints.seconds:
                    self._save(checkpoints.path)
                    saved = time.monotonic()
                advance()

    def _batch(self, pictures: int) -> Tensor:
        """Return the next numbers of a pass in random order; what does not fill a batch is left out of the pass."""
        if len(self._left) < self.settings.batch:
            self._left = torch.randperm(pictures, generator=self.generator, device=self.device)
        made, self._left = self._left.tensor_split([self.settings.batch])
        return made

    def _step(self, loss: Tensor) -> None:
        loss.backward()
        nn.utils.clip_grad_norm_(self._weights, 1.0)
        for group in self._optimizer.param_groups:
            group["lr"] = self.settings.rate(self.steps)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.steps += 1
        averaging = min(self.settings.averaging, self.steps / (self.steps + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self._averaged, self._weights, 1 - averaging)
            self._sum += loss.detach()
        self._summed += 1

    def _point(self) -> bool:
        """Add a point to the curve every so many steps: reading a loss makes a GPU wait."""
        every = max(self.settings.steps // _POINTS, 1)
        if self.steps % every and self.steps < self.settings.steps:
            return False
        self.curve.append((self.steps, round(self._sum.item() / self._summed, 6)))
        self._sum, self._summed = torch.zeros_like(self._sum), 0
        return True

    def _save(self, path: Path) -> None:
        kept = {f"weights.{i}": one for i, one in enumerate(self._weights)}
        kept |= {f"averages.{i}": one for i, one in enumerate(self._averaged)}
        for i, one in enumerate(self._weights):
            for name in ("exp_avg", "exp_avg_sq"):
                kept[f"{name}.{i}"] = self._optimizer.state[one][name]
        kept |= {"left": self._left, "sum": self._sum, "generator": self.generator.get_state()}
        said = {"steps": self.steps, "seconds": self.seconds, "summed": self._summed, "curve": self.curve}
        with atomic.replacing(path) as temporary:
            tensors = {name: one.detach().cpu().contiguous() for name, one in kept.items()}
            save_file(tensors, temporary, metadata={"said": json.dumps(said)})

    def _load(self, path: Path) -> None:
        with safe_open(path, framework="pt") as file:
            said = json.loads(file.metadata()["said"])
            kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)
        self.steps, self.seconds, self._summed = said["steps"], said["seconds"], said["summed"]
        self.curve = [(step, loss) for step, loss in said["curve"]]
        self._left, self._sum = kept["left"].to(self.device), kept["sum"].to(self.device)
        self.generator.set_state(kept["generator"])
        with torch.no_grad():
            for i, (weight, average) in enumerate(zip(self._weights, self._averaged, strict=True)):
                weight.copy_(kept[f"weights.{i}"])
                average.copy_(kept[f"averages.{i}"])
                # In the layout of the weights, as AdamW makes them: in another, results may differ in their last bit.
                moments = {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
                for name, moment in moments.items():
                    moment.copy_(kept[f"{name}.{i}"])
                step = torch.tensor(float(self.steps), device=self.device if self._fused else None)
                self._optimizer.state[weight] = {"step": step, **moments}
