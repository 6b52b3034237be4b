"""Recurrent layers that know the gradient of each record, exactly and fast.

``layers`` are drop-in twins of ``torch.nn.LSTM`` and ``torch.nn.GRU``; ``lstm`` and ``gru`` hold one layer's forward and backward pass;
``recurrent_rules`` turns what a backward pass left into norms and weighted sums; ``opacus_rules`` tells Opacus (importing this package does).
"""

from secretaudit.training.per_example import opacus_rules
from secretaudit.training.per_example.layers import (
    PerExampleGRU,
    PerExampleLSTM,
    ordinary,
    per_example,
)

__all__ = ["PerExampleGRU", "PerExampleLSTM", "opacus_rules", "ordinary", "per_example"]
