"""The work in Flower's simulation: two Ray actors of one thread each, which keep images and model in memory.

Weights travel as one array. The server tests with all threads while the actors are idle.
"""

import os
from collections.abc import Iterable
from functools import cache

os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from torch import Tensor, nn
from work import Work, read, write

client = ClientApp()


@cache
def resident(folder: str, model: str, epochs: int, rounds: int) -> tuple[Work, nn.Module]:
    """Return what an actor keeps from task to task."""
    work = Work(folder, model, epochs, rounds, 0, 1, "")
    return work, work.network()


@client.train()
def train(message: Message, _: Context) -> Message:
    told = message.content["config"]
    work, network = resident(told["folder"], told["model"], told["epochs"], told["rounds"])
    write(network, vector(message.content["arrays"]))
    batches = work.batches(told["client"], told["seed"])
    work.train(network, batches)
    metrics = MetricRecord({"num-examples": len(batches.labels)})
    return Message(RecordDict({"arrays": record(network), "metrics": metrics}), reply_to=message)


def vector(arrays: ArrayRecord) -> Tensor:
    return torch.from_numpy(arrays.to_numpy_ndarrays()[0])


def record(network: nn.Module) -> ArrayRecord:
    return ArrayRecord([read(network).numpy()])


class Given(FedAvg):
    """Federated averaging of the given clients; tests on the server alone."""

    def __init__(self, work: Work) -> None:
        super().__init__(fraction_evaluate=0.0)
        self.work = work

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        del config
        nodes, work = sorted(grid.get_node_ids()), self.work
        told = {"folder": work.folder, "model": work.model, "epochs": work.epochs, "rounds": work.rounds}
        pairs = zip(work.chosen[server_round - 1].tolist(), work.seeds[server_round - 1].tolist(), strict=True)
        return [
            Message(
                RecordDict({"arrays": arrays, "config": ConfigRecord({**told, "client": number, "seed": seed})}),
                dst_node_id=nodes[number],
                message_type=MessageType.TRAIN,
            )
            for number, seed in pairs
        ]


def main() -> None:
    work = Work.asked()
    network, server = work.network(), ServerApp()

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        torch.set_num_threads(work.threads)  # holds for the thread that calls it
        write(network, vector(arrays))
        accuracy = work.right(network) / len(work.test_labels)
        if number:
            work.round_done(accuracy)
        return MetricRecord({"accuracy": accuracy})

    @server.main()
    def serve(grid: Grid, _: Context) -> None:
        grid.pull_interval = 0.01  # seconds between looks for replies; 0.1 if nothing is said
        Given(work).start(grid, record(network), work.rounds, evaluate_fn=evaluate)

    backend = {
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        "init_args": {"num_cpus": 2, "include_dashboard": False},
    }
    run_simulation(server, client, num_supernodes=len(work.sizes), backend_config=backend)
    work.report(network)


if __name__ == "__main__":
    import with_flower  # what the actors unpickle is then a module's, which they import once

    with_flower.main()
