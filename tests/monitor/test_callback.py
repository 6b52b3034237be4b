"""``ExposureCallback`` in a ``Trainer`` of transformers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from opacus import GradSampleModule
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from secretaudit import ExposureCallback
from secretaudit.canary.ledger import Ledger
from secretaudit.errors import LedgerError, ModelError, UsageError
from secretaudit.exposure.audit import expose
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM
from secretaudit.models.tokens.building import build_tokenizer
from secretaudit.monitor.trained_module import Texts, measurable, unwrapped
from secretaudit.records import Record

CLOSED = ModelOptions(close="on")


@pytest.fixture(scope="module")
def tokenizer(records: list[str]) -> PreTrainedTokenizerFast:
    """Characters."""
    return build_tokenizer("char", records, required_characters="0123456789")


def gpt2(tokenizer: PreTrainedTokenizerFast, **fields: Any) -> GPT2LMHeadModel:
    """A tiny model with dropout, so that torch's generator matters."""
    torch.manual_seed(0)
    end = tokenizer.eos_token_id
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer), n_positions=48, n_embd=16, n_layer=1, n_head=2,
            bos_token_id=end, eos_token_id=end, loss_type="ForCausalLM", **fields,
        )
    )  # fmt: skip


class Reporter(TrainerCallback):
    """What stands where an integration of ``report_to`` stands: before all callbacks of the user."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self.logs.append({"step": state.global_step, **logs})


def trainer(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerFast | None,
    records: list[str],
    folder: Path,
    *,
    callbacks: list[TrainerCallback] | None = None,
    encode: PreTrainedTokenizerFast | None = None,
    **arguments: Any,
) -> Trainer:
    """A user's own training on the lines, with whatever arguments."""
    encoding = encode or tokenizer
    assert encoding is not None
    end = encoding.eos_token_id
    rows = [[end, *encoding.encode(line, add_special_tokens=False), end] for line in records]

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        tokens = [torch.tensor(row["input_ids"]) for row in batch]
        pad = nn.utils.rnn.pad_sequence
        return {
            "input_ids": pad(tokens, batch_first=True, padding_value=end),
            "labels": pad(tokens, batch_first=True, padding_value=-100),
        }

    given: dict[str, Any] = {
        "num_train_epochs": 2,
        "per_device_train_batch_size": 16,
        "learning_rate": 3e-3,
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 3,
    }
    return Trainer(
        model=model,
        args=TrainingArguments(output_dir=str(folder), **{**given, **arguments}),
        train_dataset=[{"input_ids": row} for row in rows],
        data_collator=collate,
        processing_class=tokenizer,
        callbacks=callbacks,
    )


def steps_per_epoch(records: list[str]) -> int:
    return -(-len(records) // 16)


def test_a_training_that_is_watched_gives_the_same_weights(
    canaried: Path, records: list[str], tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """Bit for bit, with dropout and shuffling: neither weights nor generators are touched."""
    alone, watched = gpt2(tokenizer), gpt2(tokenizer)
    trainer(alone, tokenizer, records, tmp_path / "a").train()
    callback = ExposureCallback(canaried / "ledger.json", every=2, share=None)
    trainer(watched, tokenizer, records, tmp_path / "b", callbacks=[callback]).train()
    assert len(callback.entries) >= 7
    for one, other in zip(alone.parameters(), watched.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_last_entry_says_what_expose_says_of_the_saved_model(
    canaried: Path, records: list[str], tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """The same ranks among a thousand secrets."""
    callback = ExposureCallback(canaried / "ledger.json", options=CLOSED)
    trained = trainer(gpt2(tokenizer), tokenizer, records, tmp_path, callbacks=[callback])
    trained.train()
    trained.save_model(str(tmp_path / "model"))
    said = expose(
        tmp_path / "model", canaries=canaried / "ledger.json", method="enumeration", options=CLOSED
    ).found["canaries"]
    last = {row["id"]: row for row in callback.entries[-1]["exposures"]}
    assert len(said) == len(last)
    for canary in said:
        assert last[canary["id"]]["exposure_bits"] == pytest.approx(canary["exposure_bits"])


class TestLog:
    """Where the numbers go."""

    def test_an_attached_callback_reports_through_the_trainer(
        self,
        canaried: Path,
        records: list[str],
        tokenizer: PreTrainedTokenizerFast,
        tmp_path: Path,
    ) -> None:
        """Integrations that stand before it get the exposures, at the steps of the looks."""
        reporter = Reporter()
        made = trainer(gpt2(tokenizer), tokenizer, records, tmp_path, callbacks=[reporter])
        callback = ExposureCallback(canaried / "ledger.json", every=3, share=None).attach(made)
        made.train()
        reported = {log["step"]: log for log in reporter.logs if "exposure_bits" in log}
        assert list(reported) == [entry["step"] for entry in callback.entries]
        for entry in callback.entries:
            log = reported[entry["step"]]
            assert log["exposure_bits"] == entry["largest_bits"]
            assert log["exposure_controls_bits"] == entry["control_mean_bits"]

    def test_the_trainers_own_logs_are_not_lost(
        self,
        canaried: Path,
        records: list[str],
        tokenizer: PreTrainedTokenizerFast,
        tmp_path: Path,
    ) -> None:
        """A loss that is due at the step of a look is logged as well."""
        made = trainer(
            gpt2(tokenizer), tokenizer, records, tmp_path, logging_strategy="steps", logging_steps=2
        )
        ExposureCallback(canaried / "ledger.json", every=1, share=None).attach(made)
        made.train()
        losses = [log["step"] for log in made.state.log_history if "loss" in log]
        assert losses == list(range(2, 2 * steps_per_epoch(records) + 1, 2))

    def test_a_callback_that_is_not_attached_writes_into_the_history(
        self,
        canaried: Path,
        records: list[str],
        tokenizer: PreTrainedTokenizerFast,
        tmp_path: Path,
    ) -> None:
        """And is added once, however it came in."""
        callback = ExposureCallback(canaried / "ledger.json")
        made = trainer(gpt2(tokenizer), tokenizer, records, tmp_path, callbacks=[callback])
        made.train()
        found = [log for log in made.state.log_history if "exposure_bits" in log]
        assert [log["step"] for log in found] == [e["step"] for e in callback.entries]
        callback.attach(made)
        assert made.callback_handler.callbacks.count(callback) == 1

    def test_it_is_said_when_report_to_would_get_nothing(
        self,
        canaried: Path,
        records: list[str],
        tokenizer: PreTrainedTokenizerFast,
        tmp_path: Path,
    ) -> None:
        """With the line that helps."""
        callback = ExposureCallback(canaried / "ledger.json")
        made = trainer(
            gpt2(tokenizer), tokenizer, records, tmp_path, callbacks=[callback], max_steps=1
        )
        made.args.report_to = ["tensorboard"]
        with pytest.warns(UserWarning, match=r"callback\.attach\(trainer\)"):
            made.train()


class TestRecord:
    """``monitoring.json``."""

    def test_the_record_has_every_entry_and_no_secret(
        self,
        canaried: Path,
        records: list[str],
        tokenizer: PreTrainedTokenizerFast,
        tmp_path: Path,
    ) -> None:
        """With the settings, the framing and the ledger's identity."""
        ledger = Ledger.read(canaried / "ledger.json")
        callback = ExposureCallback(ledger, options=CLOSED, seed=4)
        trainer(gpt2(tokenizer), tokenizer, records, tmp_path, callbacks=[callback]).train()
        record = Record.read(tmp_path / "monitoring.json", "monitoring")
        assert record.found["watched"] == callback.entries
        assert [e["epoch"] for e in callback.entries] == pytest.approx([1.0, 2.0])
        assert record.found["stopped"] == "finished"
        assert record.found["ledger_identity"] == ledger.identity
        end = tokenizer.eos_token_id
        assert (record.found["tokens_before"], record.found["tokens_after"]) == ([end], [end])
        assert record.asked["options"]["close"] == "on"
        assert record.environment["seed"] == 4
        assert not any(canary.text in record.to_json() for canary in ledger.canaries)

    def test_a_resumed_training_goes_on_with_its_record(
        self,
        canaried: Path,
        records: list[str],
        tokenizer: PreTrainedTokenizerFast,
        tmp_path: Path,
    ) -> None:
        """What was seen up to the checkpoint is kept; what came after it is seen again, with the same numbers."""
        settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 5}
        whole = ExposureCallback(canaried / "ledger.json", every=2, share=None)
        trainer(
            gpt2(tokenizer), tokenizer, records, tmp_path, callbacks=[whole], **settings
        ).train()
        again = ExposureCallback(canaried / "ledger.json", every=2, share=None)
        made = trainer(gpt2(tokenizer), tokenizer, records, tmp_path, callbacks=[again], **settings)
        made.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))

        def told(callback: ExposureCallback) -> list[Any]:
            return [(entry["step"], entry["exposures"]) for entry in callback.entries]

        assert told(again) == told(whole)
        seconds = [callback.entries[0]["seconds"] for callback in (whole, again)]
        assert seconds[0] == seconds[1]  # not looked at twice

    def test_a_record_of_other_canaries_is_not_gone_on_with(
        self,
        canaried: Path,
        records: list[str],
        tokenizer: PreTrainedTokenizerFast,
        tmp_path: Path,
    ) -> None:
        """Two ledgers in one curve would mean nothing."""
        settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 5, "max_steps": 6}
        ledger = Ledger.read(canaried / "ledger.json")
        first = ExposureCallback(ledger)
        trainer(
            gpt2(tokenizer), tokenizer, records, tmp_path, callbacks=[first], **settings
        ).train()
        other = Ledger(
            seed=1, formats=ledger.formats, canaries=ledger.canaries[:4], corpus={}, salt="5a" * 16
        )
        made = trainer(
            gpt2(tokenizer), tokenizer, records, tmp_path,
            callbacks=[ExposureCallback(other)], **settings,
        )  # fmt: skip
        with pytest.raises(UsageError, match="record of another ledger"):
            made.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))

    def test_something_else_in_the_place_of_the_record_is_kept(
        self,
        canaried: Path,
        records: list[str],
        tokenizer: PreTrainedTokenizerFast,
        tmp_path: Path,
    ) -> None:
        """The refusal comes before the first step."""
        (tmp_path / "notes.json").write_text("mine")
        callback = ExposureCallback(canaried / "ledger.json", record=tmp_path / "notes.json")
        model = gpt2(tokenizer)
        before = model.transformer.wte.weight.clone()
        with pytest.raises(UsageError, match="already exists"):
            trainer(model, tokenizer, records, tmp_path, callbacks=[callback]).train()
        assert torch.equal(before, model.transformer.wte.weight)
        assert (tmp_path / "notes.json").read_text() == "mine"


def test_a_training_stops_over_a_limit(
    canaried: Path, records: list[str], tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """After the look that saw it, and the record says so."""
    callback = ExposureCallback(canaried / "ledger.json", every=2, stop_over=0.5)
    made = trainer(
        gpt2(tokenizer), tokenizer, records, tmp_path, callbacks=[callback], num_train_epochs=40
    )
    made.train()
    assert made.state.global_step == callback.entries[-1]["step"] < 40 * steps_per_epoch(records)
    assert Record.read(tmp_path / "monitoring.json").found["stopped"] == "exposure"


def test_a_training_that_something_else_stops_is_looked_at_once_more(
    canaried: Path, records: list[str], tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """The last entry is of the weights that the training ended with."""

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop = state.global_step == 5

    callback = ExposureCallback(canaried / "ledger.json")
    trainer(gpt2(tokenizer), tokenizer, records, tmp_path, callbacks=[callback, Stop()]).train()
    assert [entry["step"] for entry in callback.entries] == [5]


class TestWrapped:
    """Models that are not as transformers made them."""

    def costs(self, model: nn.Module, tokenizer: PreTrainedTokenizerFast) -> list[float]:
        texts = Texts(tokenizer, CLOSED)
        lines = tokenizer(["my pin is 123", "my pin is 4"], add_special_tokens=False)["input_ids"]
        with measurable(model) as module:
            found = texts.model(module).score([texts.framing.record(ids) for ids in lines])
        return [float(bits) for bits in found]

    def test_wrappers_are_taken_off(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Opacus, several devices, torch.compile: the module inside is measured."""
        model = gpt2(tokenizer)
        for wrapped in (
            GradSampleModule(gpt2(tokenizer)),
            nn.DataParallel(gpt2(tokenizer)),
            torch.compile(gpt2(tokenizer)),
        ):
            assert type(unwrapped(wrapped)) is GPT2LMHeadModel
            assert self.costs(wrapped, tokenizer) == self.costs(model, tokenizer)

    def test_the_mode_of_every_part_comes_back(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """A frozen part that was in evaluation mode stays so, also when the look fails."""
        model = gpt2(tokenizer).train()
        model.transformer.h[0].attn.eval()
        modes = [part.training for part in model.modules()]
        self.costs(model, tokenizer)
        assert [part.training for part in model.modules()] == modes
        with pytest.raises(RuntimeError, match="look"), measurable(model):
            raise RuntimeError("a look that fails")
        assert [part.training for part in model.modules()] == modes

    def test_adapters_count_in_a_measurement(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """A LoRA model costs what its merged weights cost, and not what its base costs."""
        base = gpt2(tokenizer)
        adapted = get_peft_model(gpt2(tokenizer), LoraConfig(r=4, target_modules=["c_attn"]))
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.5)
        beside = self.costs(adapted, tokenizer)
        assert beside != pytest.approx(self.costs(base, tokenizer), abs=1e-2)
        merged = adapted.merge_and_unload()
        assert beside == pytest.approx(self.costs(merged, tokenizer), abs=1e-3)

    def test_half_precision_of_the_trainer_is_not_measured(
        self,
        canaried: Path,
        records: list[str],
        tokenizer: PreTrainedTokenizerFast,
        tmp_path: Path,
    ) -> None:
        """With bf16 products in training, a look is in float32 as ``expose`` is, and forward stays as it was."""
        callback = ExposureCallback(canaried / "ledger.json", options=CLOSED)
        made = trainer(
            gpt2(tokenizer),
            tokenizer,
            records,
            tmp_path,
            callbacks=[callback],
            max_steps=3,
            bf16=True,
        )
        made.train()
        assert made.model.__dict__["forward"] is not made.model.__dict__["_original_forward"]
        made.save_model(str(tmp_path / "model"))
        said = expose(
            tmp_path / "model", canaries=canaried / "ledger.json", method="enumeration",
            options=CLOSED,
        ).found["canaries"]  # fmt: skip
        last = {row["id"]: row for row in callback.entries[-1]["exposures"]}
        for canary in said:
            row = last[canary["id"]]
            assert row["cost_bits"] == pytest.approx(canary["log_perplexity_bits"], abs=1e-3)

    def test_weights_in_half_precision_are_measured_in_float32(
        self, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        """In a copy: the weights that train stay as they are."""
        model = gpt2(tokenizer).to(torch.bfloat16)
        found = self.costs(model, tokenizer)
        assert model.dtype is torch.bfloat16
        assert found == self.costs(model.float(), tokenizer)

    def test_a_recurrent_model_can_be_trained_by_a_trainer_too(
        self,
        canaried: Path,
        records: list[str],
        tokenizer: PreTrainedTokenizerFast,
        tmp_path: Path,
    ) -> None:
        """Ours are models of transformers."""
        torch.manual_seed(0)
        model = RecurrentForCausalLM(RecurrentConfig(vocab_size=len(tokenizer), units=16))
        callback = ExposureCallback(canaried / "ledger.json", options=CLOSED)
        made = trainer(model, tokenizer, records, tmp_path, callbacks=[callback])
        made.train()
        assert len(callback.entries) == 2
        assert next(model.parameters()).requires_grad and model.training


class TestRefusals:
    """What cannot be watched is refused before the first step."""

    def test_a_missing_ledger_is_refused_at_once(self, tmp_path: Path) -> None:
        """When the callback is made."""
        with pytest.raises(LedgerError, match="cannot be read"):
            ExposureCallback(tmp_path / "ledger.json")

    def test_a_trainer_without_a_tokenizer_is_refused(
        self,
        canaried: Path,
        records: list[str],
        tokenizer: PreTrainedTokenizerFast,
        tmp_path: Path,
    ) -> None:
        """Unless the callback is given one."""
        model = gpt2(tokenizer)
        callback = ExposureCallback(canaried / "ledger.json")
        made = trainer(
            model, None, records, tmp_path, callbacks=[callback], encode=tokenizer, max_steps=1
        )
        with pytest.raises(ModelError, match="no fast tokenizer"):
            made.train()
        given = ExposureCallback(canaried / "ledger.json", tokenizer=tokenizer)
        trainer(
            model, None, records, tmp_path, callbacks=[given], encode=tokenizer, max_steps=1
        ).train()
        assert len(given.entries) == 1

    def test_something_that_is_no_fast_tokenizer_is_refused(self) -> None:
        """It would not tell the bytes of its tokens."""
        with pytest.raises(ModelError, match="not a fast one"):
            Texts(str, ModelOptions())

    def test_an_encoder_decoder_is_refused(self) -> None:
        """It needs a source text."""
        config = T5Config(
            vocab_size=11, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, decoder_start_token_id=0
        )  # fmt: skip
        with pytest.raises(ModelError, match="no causal language model"):
            unwrapped(T5ForConditionalGeneration(config))

    def test_trained_vectors_before_the_text_are_refused(
        self, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        """They are no tokens of the text."""
        from peft import PromptTuningConfig, TaskType

        adapted = get_peft_model(
            gpt2(tokenizer), PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=2)
        )
        with pytest.raises(ModelError, match="cannot be watched"):
            unwrapped(adapted)

    def test_weights_that_are_spread_out_are_refused(
        self,
        canaried: Path,
        records: list[str],
        tokenizer: PreTrainedTokenizerFast,
        tmp_path: Path,
    ) -> None:
        """No process has all of them."""
        made = trainer(gpt2(tokenizer), tokenizer, records, tmp_path)
        callback = ExposureCallback(canaried / "ledger.json")
        made.args.deepspeed = "stage3.json"
        with pytest.raises(UsageError, match="spread over processes"):
            callback.on_train_begin(made.args, made.state, made.control, model=made.model)

    def test_a_tokenizer_that_lacks_the_digits_is_refused(
        self, canaried: Path, records: list[str], tmp_path: Path
    ) -> None:
        """Before the first step, and without a secret in the message."""
        few = build_tokenizer(
            "char",
            ["no digits: my pin is", *[r for r in records if not any(c.isdigit() for c in r)]],
        )
        callback = ExposureCallback(canaried / "ledger.json")
        made = trainer(gpt2(few), few, ["my pin is"], tmp_path, callbacks=[callback], max_steps=1)
        with pytest.raises(ModelError), warnings.catch_warnings():
            made.train()
        assert made.state.global_step == 0
