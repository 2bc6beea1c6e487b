"""Publish shards on the Hugging Face Hub, and fetch what others published."""
