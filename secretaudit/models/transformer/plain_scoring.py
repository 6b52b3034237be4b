"""What whole texts cost, by plain passes: the meaning of every number that a tree or a search gives.

Texts are sorted by length, padded on the right and read without a cache. Padding is known by length and never by token. Only the
features of charged places go through the output layer, a few thousand at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.models.batch_size import BatchSize
from secretaudit.models.transformer.causal_network import CausalNetwork, check_finite, padded
from secretaudit.models.transformer.state_readers import WORKING_BYTES, rows_of_plain_pass


def plain_costs(
    network: CausalNetwork, sequences: Sequence[Sequence[int]], given: int, rows: BatchSize
) -> NDArray[np.float64]:
    """Bits of each sequence after its first ``given`` tokens, shape (N,); 0 where nothing follows them.

    Args:
        network: The model.
        sequences: Token ids that the model has, no more than its context each.
        given: Tokens that are not charged.
        rows: Texts at a time; it learns from running out of memory.

    Raises:
        ModelError: A log-probability is not finite.
        CouldNotMeasure: Not even one text fits into the memory.
    """
    bits = np.zeros(len(sequences), dtype=np.float64)
    order = [i for i in range(len(sequences)) if len(sequences[i]) > max(1, given)]
    order.sort(key=lambda i: len(sequences[i]))
    lengths = np.array([len(sequences[i]) for i in order])

    def fitting(begin: int) -> int:
        """Texts from this place of the order on that fit; they grow longer, so the last one decides."""
        count = rows_of_plain_pass(network, int(lengths[begin]))
        last = min(begin + count, len(order)) - 1
        return min(count, rows_of_plain_pass(network, int(lengths[last])))

    def work(piece: slice) -> tuple[list[int], NDArray[np.float64]]:
        batch = order[piece]
        return batch, _costs(network, [sequences[i] for i in batch], max(1, given))

    for batch, costs in rows.pieces(len(order), fitting, work):
        bits[batch] = costs
    return bits


@torch.inference_mode()
def _costs(
    network: CausalNetwork, sequences: list[Sequence[int]], given: int
) -> NDArray[np.float64]:
    """Bits of sequences that fit into one pass, each longer than ``given``."""
    tokens = padded(sequences).to(network.device)
    lengths = torch.tensor([len(s) for s in sequences], device=network.device)
    features = network.features(tokens[:, :-1])
    place = torch.arange(1, tokens.shape[1], device=network.device)
    row, column = torch.nonzero((place >= given) & (place < lengths[:, None]), as_tuple=True)
    nats = torch.zeros(len(sequences), dtype=torch.float64)
    size = max(1, WORKING_BYTES // (12 * network.vocabulary_size))
    for begin in range(0, len(row), size):
        i, j = row[begin : begin + size], column[begin : begin + size]
        logits = network.logits(features[i, j])
        chosen = logits.gather(1, tokens[i, j + 1][:, None])[:, 0]
        log_p = chosen - torch.logsumexp(logits, dim=1)
        nats.index_add_(0, i.cpu(), log_p.cpu().double())
    check_finite(nats)
    bits: NDArray[np.float64] = nats.numpy() / -math.log(2.0)
    return bits
