"""The work in pfl (Apple): its simulated backend, federated averaging, and central evaluation after every round.

Alone it runs in one process; under ``torchrun`` it shares clients and test images between processes, as pfl's guide to
fast distributed simulations says, with the clients' sizes given so that it can share them evenly.
"""

import itertools
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.callback.central_evaluation import CentralEvaluationCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.internal.ops.selector import get_framework_module
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from torch import Tensor, nn
from work import BATCH, MOMENTUM, RATE, TEST_BATCH, Batches, Work

ACCURACY = "central val | accuracy"


class Network(nn.Module):
    """The model with the two methods that pfl asks for."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.inner(images), labels)

    @torch.inference_mode()
    def metrics(self, images: Tensor, labels: Tensor) -> dict[str, Weighted]:
        return {"accuracy": Weighted(int((self.inner(images).argmax(1) == labels).sum()), len(labels))}


class User(PyTorchTensorDataset):
    """A client's images, which trains on them in the given order."""

    def __init__(self, batches: Batches) -> None:
        super().__init__((batches.images.permute(0, 3, 1, 2), batches.labels))
        self.batches = batches

    def iter(self, batch_size: int | None) -> Iterator[tuple[Tensor, ...]]:
        return iter(self.batches) if batch_size == BATCH else super().iter(batch_size)


class Note(TrainingProcessCallback):
    """Comes after the evaluation and notes its result."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: PyTorchModel, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        del model, central_iteration
        found = aggregate_metrics.to_simple_dict(to_lowercase=True).get(ACCURACY)  # pfl has none after the first round
        self.work.round_done(float("nan") if found is None else float(found))
        return False, Metrics()


def main() -> None:
    work = Work.asked()
    np.random.seed(0)  # pfl's processes agree on users by equal seeds
    network = Network(work.network())
    model = PyTorchModel(
        network, partial(torch.optim.SGD, momentum=MOMENTUM, fused=True), torch.optim.SGD(network.parameters(), lr=1.0)
    )
    clients, seeds = work.chosen.ravel().tolist(), work.seeds.ravel().tolist()
    users = FederatedDataset(  # a user is one client in one round
        lambda user: User(work.batches(clients[user], seeds[user])),
        partial(next, itertools.cycle(range(len(clients)))),
        {user: work.sizes[client] for user, client in enumerate(clients)},
    )
    test = PyTorchTensorDataset((work.test_images, work.test_labels))
    evaluation = NNEvalHyperParams(local_batch_size=TEST_BATCH)
    FederatedAveraging().run(
        NNAlgorithmParams(
            central_num_iterations=work.rounds,
            evaluation_frequency=work.rounds + 1,
            train_cohort_size=work.chosen.shape[1],
            val_cohort_size=0,
        ),
        SimulatedBackend(users, users, [WeightByDatapoints()]),
        model,
        # One epoch: a user's batches are those of all passes.
        NNTrainHyperParams(local_batch_size=BATCH, local_num_epochs=1, local_learning_rate=RATE),
        evaluation,
        [CentralEvaluationCallback(test, evaluation), Note(work)],
        send_metrics_to_platform=False,
    )
    if get_framework_module().distributed.global_rank == 0:
        work.report(network)


if __name__ == "__main__":
    main()
