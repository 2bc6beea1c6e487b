"""The work in FedLab: its stand-alone pipeline with a serial trainer, whose optimiser and batches are overridden."""

import itertools
from typing import Any

import torch
from fedlab.contrib.algorithm.basic_client import SGDSerialClientTrainer
from fedlab.contrib.algorithm.basic_server import SyncServerHandler
from fedlab.core.standalone import StandalonePipeline
from fedlab.utils import Aggregators, SerializationTool
from torch import Tensor
from work import BATCH, RATE, Batches, Work, read


class Given:
    """Hands out the clients' batches in the order in which they are asked for."""

    def __init__(self, work: Work) -> None:
        self.work, self.asked = work, itertools.count()

    def get_dataloader(self, client: int, batch_size: int) -> Batches:
        assert batch_size == BATCH
        return self.work.batches(client, int(self.work.seeds.flat[next(self.asked)]))


class Trainer(SGDSerialClientTrainer):
    """Trains with momentum, and tells how many images a client has."""

    def __init__(self, work: Work) -> None:
        super().__init__(work.network(), len(work.sizes))
        self.work = work
        self.setup_dataset(Given(work))
        self.setup_optim(work.epochs, BATCH, RATE)

    @property
    def model_parameters(self) -> Tensor:
        return read(self._model)  # FedLab's own does not take channels-last weights

    def train(self, model_parameters: Tensor, train_loader: Batches) -> list[Any]:
        self.set_model(model_parameters)
        self.work.train(self._model, train_loader)
        return [self.model_parameters, torch.tensor(float(len(train_loader.labels)))]


class Server(SyncServerHandler):
    """Takes the given clients, and weights them by their images."""

    def __init__(self, work: Work) -> None:
        super().__init__(work.network(), work.rounds, work.chosen.shape[1] / len(work.sizes))
        self.work = work

    @property
    def model_parameters(self) -> Tensor:
        return read(self._model)

    def sample_clients(self) -> list[int]:
        return self.work.chosen[self.round].tolist()  # type: ignore[no-any-return]

    def global_update(self, buffer: list[list[Tensor]]) -> None:
        vectors, sizes = zip(*buffer, strict=True)
        average = Aggregators.fedavg_aggregate(list(vectors), torch.stack(sizes))
        SerializationTool.deserialize_model(self._model, average)


class Pipeline(StandalonePipeline):
    """Tests after every round."""

    def evaluate(self) -> None:
        work = self.trainer.work
        work.round_done(work.right(self.handler.model) / len(work.test_labels))


def main() -> None:
    work = Work.asked()
    server = Server(work)
    Pipeline(server, Trainer(work)).main()
    work.report(server.model)


if __name__ == "__main__":
    main()
