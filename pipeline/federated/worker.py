"""What carries out the tasks of runs on one device, in whichever process."""

import ctypes
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pipeline import progress
from pipeline.data.arrays import Stored
from pipeline.federated import local
from pipeline.federated.algorithm import WEIGHTS
from pipeline.federated.inputs import Inputs
from pipeline.federated.models import FlatModel, SecondModels
from pipeline.federated.pictures import ClientPictures
from pipeline.federated.simulation import EvalTask, Result, Run, Score, Task

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of malloc.h
_SHARE = 0.5
"""Of a device's free memory, what the images of all its workers may take; training needs the rest."""


class Worker:
    """Carries out tasks on one device; one in each process.

    On a GPU the images are in its memory if they fit, else they are read from disk by the batch, as on a CPU.
    """

    def __init__(self, inputs: Inputs, run: Run, device: str = "cpu", sharing: int = 1) -> None:
        """Prepare for the runs that have the model and settings of ``run``; ``sharing`` workers use the device."""
        if device == "cpu":
            torch.set_num_threads(1)
            _keep_memory()
        else:
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        self.inputs, self.run, self.device = inputs, run, device
        make = partial(FlatModel, run.model, run.norm, len(run.tests), run.image_size, device=device)
        self.model, self.second_model = make(), SecondModels(make)
        self.normalise = run.normalisation.on(run.image_size, device)
        place = device if fits(inputs, device, sharing) else "cpu"
        opened = {path: _images(stored, place) for path, stored in _arrays(inputs).items()}
        self.sources = [opened[stored.path] for stored in inputs.sources]
        self.test_images = opened[inputs.test.path]
        self.test_rows = None if inputs.test_rows is None else torch.from_numpy(inputs.test_rows)
        self.test_labels = torch.from_numpy(inputs.test_labels).to(device)
        self.test_pairs = torch.from_numpy(inputs.test_pairs).to(device)

    def carry_out(self, task: Task) -> Result:
        """Return the Update of a training task, the Score of a test."""
        if isinstance(task, EvalTask):
            self.model.vector.copy_(torch.from_numpy(task.broadcast[WEIGHTS]))
            part = task.part if self.test_rows is None else self.test_rows[task.part].to(self.test_images.device)
            images, labels = self.test_images[part].to(self.device), self.test_labels[task.part]
            counted = (self.run.test_pairs, self.test_pairs[task.part])
            right, loss = local.test(self.model, images, labels, self.normalise, *counted)
            return Score(tuple(right.tolist()), loss)
        rows = self.inputs.clients[task.client]
        return local.train_client(
            model=self.model,
            algorithm=task.algorithm,
            broadcast=task.broadcast,
            client_state=task.client_state,
            images=ClientPictures(list(zip(self.sources, rows, strict=True)), self.device),
            labels=torch.from_numpy(self.inputs.labels(task.client)).to(self.device),
            real=torch.from_numpy(self.inputs.real(task.client)),
            normalise=self.normalise,
            settings=self.run.settings,
            learning_rate=task.learning_rate,
            samples=task.samples,
            weight=task.weight,
            seed=task.seed,
            second_model=self.second_model,
        )


def fits(inputs: Inputs, device: str, sharing: int = 1) -> bool:
    """Tell whether the images fit into the device's memory ``sharing`` times; a CPU reads them from the page cache."""
    if device == "cpu":
        return False
    size = sum(stored.pixels.nbytes for stored in _arrays(inputs).values())
    free, _ = torch.cuda.mem_get_info(device)
    if size <= free * _SHARE / sharing:
        return True
    progress.say(f"{size / 1e9:.1f} GB of images do not fit on {device}: they are read from disk by the batch")
    return False


def _arrays(inputs: Inputs) -> dict[Path, Stored]:
    """Return each array once: test images can be held out of the training images."""
    return {stored.path: stored for stored in (*inputs.sources, inputs.test)}


def _images(stored: Stored, device: str) -> Tensor:
    return torch.from_numpy(stored.pixels).to(device)


def _keep_memory() -> None:
    """Have glibc keep freed memory for the next step.

    It would give that of the larger activations back to the system after each step, which then clears it page by page
    for the next: a fifth of ResNet-20's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt is not None:
        for option, size in ((_TRIM_THRESHOLD, 1 << 30), (_MMAP_THRESHOLD, 32 << 20), (_TOP_PAD, 64 << 20)):
            mallopt(option, size)
