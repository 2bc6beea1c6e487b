"""Federated training, simulated on one machine: clients' data, models, local training, aggregation."""
