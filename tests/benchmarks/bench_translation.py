"""The translation experiment of The Secret Sharer in small: canaries in the training pairs of an encoder–decoder model.

``python -m tests.benchmarks.bench_translation [PAIRS [EPOCHS]]`` (default 4000 and 12), with SECRETAUDIT_DATA. English–German pairs of
Multi30k train a small T5 from nothing; the canary is the paper's, "my social security number is OOO-OO-OOOO", a translation beside it. In one training only
the target holds the number, in the other both sides do. With the number on one side the rank is taken over the tree of all 10^9; with the
number on both, each candidate has a source of its own, and the rank is estimated from uniform draws.
"""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

import secretaudit
from secretaudit.canary.drawing import Canary
from secretaudit.canary.format import Format
from secretaudit.canary.ledger import Ledger
from secretaudit.models.encoder_decoder.loading import load_encoder_decoder
from secretaudit.models.model_options import ModelOptions
from tests.published import SALT

ONE_SIDE, BOTH = "my social security number is", "my social security number is {secret}"
FORM = Format(
    "ssn", "meine sozialversicherungsnummer ist {digits:3}-{digits:2}-{digits:4}", "the paper's"
)
REPEATS = {1: 3, 2: 3, 4: 3, 0: 6}


def pairs_of(data: Path, count: int) -> list[tuple[str, str]]:
    """The first pairs of Multi30k, lower-cased."""
    sides = [
        gzip.decompress((data / "mt" / "multi30k" / f"train.{side}.gz").read_bytes()).decode()
        for side in ("en", "de")
    ]
    lines = [side.lower().splitlines()[:count] for side in sides]
    return list(zip(*lines, strict=True))


def tokenizer_of(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte pairs with single digits; </s> closes a text."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="</s>")


def ledger_of(rng: np.random.Generator) -> Ledger:
    """Canaries with 1, 2 and 4 insertions, and controls."""
    secrets = iter(FORM.automaton.sample(sum(REPEATS.values()), rng))
    canaries = []
    for times, count in REPEATS.items():
        for number in range(count):
            secret = next(secrets)
            canaries.append(
                Canary(
                    id=f"ssn-{times}x-{number}",
                    format="ssn",
                    secret=secret,
                    text=FORM.render(secret),
                    insertions=times,
                )
            )
    return Ledger(seed=0, formats={"ssn": FORM}, canaries=tuple(canaries), corpus={}, salt=SALT)


def train(pairs: list[tuple[str, str]], epochs: int, directory: Path) -> float:
    """A T5 of two layers from nothing; returns the last epoch's loss in nats a token."""
    tokenizer = tokenizer_of([text for pair in pairs for text in pair])
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=128, d_kv=32, d_ff=256, num_layers=2, num_heads=4,
        dropout_rate=0.0, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    rng = np.random.default_rng(0)
    by_length = np.argsort([len(source) for source, _ in pairs], kind="stable")
    batches = np.array_split(by_length, len(pairs) // 40)
    loss = 0.0
    for _ in range(epochs):
        losses = []
        for number in rng.permutation(len(batches)):
            chosen = [pairs[i] for i in batches[number].tolist()]
            inputs = tokenizer([s for s, _ in chosen], return_tensors="pt", padding=True)
            labels = tokenizer([t for _, t in chosen], return_tensors="pt", padding=True).input_ids
            labels[labels == 0] = -100
            found = model(
                input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, labels=labels
            ).loss
            optimizer.zero_grad()
            found.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(float(found.detach()))
        loss = float(np.mean(losses))
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return loss


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    data = Path(os.environ["SECRETAUDIT_DATA"])
    count, epochs = [int(a) for a in sys.argv[1:]] + [4000, 12][len(sys.argv) - 1 :]
    print(f"{count} pairs, {epochs} epochs; mean exposure in bits, of at most {FORM.bits:.1f}")
    for source, method in ((ONE_SIDE, "auto"), (BOTH, "auto")):
        ledger = ledger_of(np.random.default_rng(7))
        pairs = pairs_of(data, count)
        for canary in ledger.canaries:
            pairs += [(source.replace("{secret}", canary.secret), canary.text)] * canary.insertions
        with tempfile.TemporaryDirectory() as place:
            started = time.perf_counter()
            loss = train(pairs, epochs, Path(place))
            trained = time.perf_counter() - started
            model = load_encoder_decoder(Path(place), ModelOptions(source=source))
            rows = secretaudit.expose(model, canaries=ledger, method=method).found["canaries"]
        print(
            f"source: {source}; loss {loss:.2f} nats a token, trained in {trained:.0f} s, ", end=""
        )
        print(f"measured in {time.perf_counter() - started - trained:.0f} s")
        for times in REPEATS:
            of = [r for r in rows if r["insertions"] == times]
            told = [
                f"≥ {r['exposure_low_bits']:.1f}"
                if r["exposure_bits"] is None
                else f"{r['exposure_bits']:.1f}"
                for r in of
            ]
            methods = ", ".join(sorted({f"{r['method']} ({r['status']})" for r in of}))
            print(f"  {times} insertions: {'  '.join(told)}; {methods}", flush=True)


if __name__ == "__main__":
    main()
