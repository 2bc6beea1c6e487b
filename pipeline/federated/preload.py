"""What every training worker needs, imported once by the server that workers are forked from.

An optimiser of torch imports ``torch._dynamo`` when the first one is made: two seconds of each worker's time.
"""

import torch._dynamo

from pipeline.federated import workers

__all__ = ["torch", "workers"]
