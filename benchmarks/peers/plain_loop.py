"""The loop that one would write in plain PyTorch: one client after the other, in one process."""

import torch
from work import Work, read, write


def main() -> None:
    work = Work.asked()
    network = work.network()
    weights = read(network)
    for clients, seeds in zip(work.chosen.tolist(), work.seeds.tolist(), strict=True):
        total, images = torch.zeros_like(weights), sum(work.sizes[client] for client in clients)
        for client, seed in zip(clients, seeds, strict=True):
            write(network, weights)
            work.train(network, work.batches(client, seed))
            total.add_(read(network), alpha=work.sizes[client] / images)
        weights = total
        write(network, weights)
        work.round_done(work.right(network) / len(work.test_labels))
    work.report(network)


if __name__ == "__main__":
    main()
