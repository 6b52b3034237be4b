"""``Trainer`` + Opacus + exposure: what differential privacy does to memorization, seen while the model trains.

The same small GPT-2 learns the same made-up mail twice, without and with DP-SGD, and the same callback watches the canaries. Six things have to be
done for the ε to be true; each is marked (1) to (6) below.

(1) Poisson sampling: each record enters each step by its own draw. The Trainer must take Opacus' loader, not make one of its own.
(2) Position ids of the whole batch's shape: GPT-2 makes one row of them for all records, which has no gradient per record.
(3) The loss is a sum over records of a loss of each record alone. The loss that transformers computes from ``labels`` is divided by
    the tokens of the whole batch: a record's gradient then depends on its neighbours, clipping bounds something else, and ε is wrong.
(4) Gradients per record are cleared after each step: the Trainer clears those of the model, and not what the DP optimizer keeps.
(5) ``max_grad_norm=0`` in the Trainer: records are clipped, their noisy sum is not clipped again. No gradient accumulation.
(6) A step may draw no record at all; its noise is added all the same. (GPT-2 cannot read a batch of no rows.)

ε is of the weights. Training losses and gradient norms are computed without noise: do not show them where privacy counts.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from opacus import PrivacyEngine
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

import secretaudit
from secretaudit.demo_corpus import demo_records
from secretaudit.models.tokens.building import build_tokenizer

EPSILON, DELTA, CLIP = 4.0, 1e-4, 1.0
EPOCHS, BATCH = 6, 24
IGNORED = -100
LONGEST = 202  # tokens of a record of made-up mail, its ends included


def collate(rows):
    """Rows side by side, padded on the right; (6) for none at all, a row with nothing to predict, whose gradient is 0."""
    tokens = [torch.tensor(row["input_ids"]) for row in rows]
    if not tokens:
        nothing = torch.zeros((1, 2), dtype=torch.int64)
        return {"input_ids": nothing, "targets": nothing[:, 1:] + IGNORED}
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "input_ids": pad(tokens, batch_first=True, padding_value=0),
        "targets": pad([row[1:] for row in tokens], batch_first=True, padding_value=IGNORED),
    }


def record_losses(model, inputs):
    """(3) Mean cross-entropy of the tokens of each record alone, in nats, shape (B,)."""
    tokens, targets = inputs["input_ids"], inputs["targets"]
    positions = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape)  # (2)
    logits = model(input_ids=tokens, position_ids=positions, use_cache=False).logits[:, :-1]
    nats = functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    ).view(targets.shape)
    return nats.sum(dim=1) / (targets != IGNORED).sum(dim=1).clamp(min=1)


class RecordTrainer(Trainer):
    """A Trainer whose loss is a mean over records; with a loader of its own where one is given."""

    loader = None

    def get_train_dataloader(self):
        """(1) The loader that draws by Poisson sampling, as it is."""
        return self.loader or super().get_train_dataloader()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The mean of the records' own losses; Opacus multiplies by the number of records to have each one's gradient."""
        return record_losses(model, inputs).mean()


class ClearRecordGradients(TrainerCallback):
    """(4) Clears what the DP optimizer keeps of a step."""

    def on_step_end(self, args, state, control, optimizer=None, **_):
        """After each step."""
        optimizer.zero_grad()


def train(records, tokenizer, ledger, folder, *, private):
    """Train from nothing; what the callback saw, the model, and the ε that was spent."""
    end = tokenizer.eos_token_id
    encoded = tokenizer(records, add_special_tokens=False)["input_ids"]
    dataset = [{"input_ids": [end, *ids, end]} for ids in encoded]
    torch.manual_seed(1)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=LONGEST,
            n_embd=64,
            n_layer=2,
            n_head=2,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=end,
            eos_token_id=end,
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.0)
    engine, loader, callbacks = None, None, []
    if private:
        engine = PrivacyEngine(accountant="prv")
        _, optimizer, loader = engine.make_private_with_epsilon(
            module=model.train(),
            optimizer=optimizer,
            data_loader=torch.utils.data.DataLoader(dataset, batch_size=BATCH, collate_fn=collate),
            target_epsilon=EPSILON,
            target_delta=DELTA,
            epochs=EPOCHS,
            max_grad_norm=CLIP,
            wrap_model=False,  # hooks on the model itself, so that it stays a model of transformers
        )
        loader.collate_fn = collate  # (6) also when the very first step draws nothing
        callbacks = [ClearRecordGradients()]
    trainer = RecordTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=folder,
            num_train_epochs=EPOCHS,
            per_device_train_batch_size=BATCH,
            gradient_accumulation_steps=1,  # (5)
            max_grad_norm=0.0 if private else 1.0,  # (5)
            lr_scheduler_type="constant",
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            use_cpu=True,
            seed=1,
        ),
        train_dataset=dataset,
        data_collator=collate,
        processing_class=tokenizer,
        optimizers=(optimizer, None),
        callbacks=callbacks,
    )
    trainer.loader = loader
    watch = secretaudit.ExposureCallback(
        ledger, options=secretaudit.ModelOptions(close="on"), share=None
    ).attach(trainer)
    trainer.train()
    return watch.entries, model.eval(), engine.get_epsilon(DELTA) if engine else None


def mean_bits(entry):
    """Mean exposure of the canaries that were inserted."""
    return float(np.mean([e["exposure_bits"] for e in entry["exposures"] if e["insertions"]]))


def main():
    """Train twice and print both."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # Opacus reminds of secure randomness; use it for real secrets
    place = tempfile.TemporaryDirectory()  # gone when the example ends
    folder = Path(place.name)
    made_up = demo_records(340, np.random.default_rng(1))
    (folder / "mail.txt").write_text("\n".join(made_up[:260]))
    secretaudit.insert(
        folder / "mail.txt",
        folder / "canaried",
        formats=["my pin is {digits:4}"],
        count=5,
        repeats=[8],
        controls=20,
        seed=1,
    )
    records = (folder / "canaried" / "corpus.txt").read_text().splitlines()
    tokenizer = build_tokenizer("char", [*records, *made_up], required_characters="0123456789")
    end, held_out = tokenizer.eos_token_id, made_up[260:]
    encoded = tokenizer(held_out, add_special_tokens=False)["input_ids"]
    fresh = collate([{"input_ids": [end, *ids, end]} for ids in encoded])
    rows = {}
    for name, private in (("plain", False), ("private", True)):
        ledger = folder / "canaried" / "ledger.json"
        entries, model, epsilon = train(records, tokenizer, ledger, folder / name, private=private)
        with torch.no_grad():
            loss = float(record_losses(model, fresh).mean()) / np.log(2)
        rows[name] = (epsilon, loss, entries)
    print(f"\n{len(records)} records, {EPOCHS} epochs; exposure in bits, of at most 13.3\n")
    print("          epsilon  loss on fresh mail    mean exposure after epoch      controls")
    shown = [2, 4, EPOCHS]
    print("                    (bits per token)  " + "".join(f"{epoch:7}" for epoch in shown))
    for name, (epsilon, loss, entries) in rows.items():
        by_epoch = {round(entry["epoch"]): entry for entry in entries}
        bits = "".join(f"{mean_bits(by_epoch[epoch]):7.2f}" for epoch in shown)
        said = "none" if epsilon is None else f"{epsilon:.2f}"
        print(f"{name:8} {said:>8} {loss:19.2f}  {bits} {entries[-1]['control_mean_bits']:11.2f}")
    assert rows["private"][0] <= EPSILON
    assert mean_bits(rows["plain"][2][-1]) > mean_bits(rows["private"][2][-1]) + 2


if __name__ == "__main__":
    main()
