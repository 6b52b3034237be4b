"""Exposure in your own ``Trainer``: one callback, and the training stops before it knows a secret by heart.

A small GPT-2 learns made-up mail into which canaries were inserted. The callback measures them at the end of every epoch, writes the numbers into
the Trainer's log (and to all that ``report_to`` names), and stops the training once a canary has more than 7 bits of exposure.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

import secretaudit
from secretaudit.demo_corpus import demo_records
from secretaudit.models.tokens.building import build_tokenizer

torch.set_num_threads(1)
place = tempfile.TemporaryDirectory()  # gone when the example ends
folder = Path(place.name)

# --- a corpus with canaries: four secret numbers, each said eight times, and twenty controls that are said never ---------

(folder / "mail.txt").write_text("\n".join(demo_records(400, np.random.default_rng(1))))
secretaudit.insert(
    folder / "mail.txt",
    folder / "canaried",
    formats=["my pin is {digits:4}"],
    count=4,
    repeats=[8],
    controls=20,
    seed=1,
)
records = (folder / "canaried" / "corpus.txt").read_text().splitlines()

# --- somebody's training: a tokenizer, a model, a Trainer ------------------------------------------------------------------

tokenizer = build_tokenizer("char", records, required_characters="0123456789")
end = tokenizer.eos_token_id
dataset = [
    {"input_ids": [end, *tokenizer.encode(record, add_special_tokens=False), end]}
    for record in records
]


def collate(rows):
    """Rows side by side, padded on the right; what is padding is not predicted."""
    tokens = [torch.tensor(row["input_ids"]) for row in rows]
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "input_ids": pad(tokens, batch_first=True, padding_value=end),
        "labels": pad(tokens, batch_first=True, padding_value=-100),
    }


torch.manual_seed(1)
model = GPT2LMHeadModel(
    GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=max(len(row["input_ids"]) for row in dataset),
        n_embd=64,
        n_layer=2,
        n_head=2,
        bos_token_id=end,
        eos_token_id=end,
    )
)
trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir=folder / "model",
        num_train_epochs=20,
        per_device_train_batch_size=16,
        learning_rate=3e-3,
        logging_strategy="epoch",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        seed=1,
    ),
    train_dataset=dataset,
    data_collator=collate,
    processing_class=tokenizer,
)

# --- the callback ------------------------------------------------------------------------------------------------------------

callback = secretaudit.ExposureCallback(
    folder / "canaried" / "ledger.json",
    stop_over=7,
    options=secretaudit.ModelOptions(close="on"),  # each text of this training ends with the token
).attach(trainer)
trainer.train()

print("\nepoch  largest exposure  mean of the controls   (bits, of at most 13.3)")
for entry in callback.entries:
    print(
        f"{entry['epoch']:5.0f}  {entry['largest_bits']:16.2f}  {entry['control_mean_bits']:20.2f}"
    )

record = secretaudit.Record.read(folder / "model" / "monitoring.json")
print("stopped:", record.found["stopped"])
assert record.found["stopped"] == "exposure"
assert any("exposure_bits" in log for log in trainer.state.log_history)
