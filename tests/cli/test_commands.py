"""Each command hands its options on under the same names, and shows the record that comes back."""

from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path

import click
import pytest

from secretaudit.cli.expose import command as expose_command
from secretaudit.cli.extract import command as extract_command
from secretaudit.cli.train import _ADAPTING, _PRIVATE
from secretaudit.cli.train import command as train_command
from secretaudit.exposure.comparison import compared
from secretaudit.models.model_options import ModelOptions
from secretaudit.records import Record
from secretaudit.training.settings import LoraSettings, PrivacySettings, TrainingSettings

INSERTION = Record(
    kind="insertion",
    asked={},
    found={
        "corpus": "corpus.txt",
        "ledger": "ledger.json",
        "public_ledger": "ledger.public.json",
        "records": 1000,
        "canaried_records": 1210,
        "canaries": 30,
        "inserted": 210,
        "controls": 50,
        "secrets_by_chance": {"pin-1x-00": 2},
    },
    environment={},
)
REMOVAL = Record(
    kind="insertion",
    asked={},
    found={"corpus": "corpus.txt", "records": 1000, "removed": 210, "identical": True},
    environment={},
)


def training(stopped: str = "finished", **more: object) -> Record:
    found = {
        "stopped": stopped,
        "epochs": 3.0,
        "tokens_seen": 1000,
        "ledger": {"path": "l"},
        **more,
    }
    return Record(kind="training", asked={}, found=found, environment={})


class TestInsert:
    def test_options_arrive_under_their_names(self, call, fake):
        """The command is a call of secretaudit.insert."""
        insert = fake("insert", INSERTION)
        outcome = call(
            *("insert", "c.jsonl", "-o", "out", "--format", "pin", "--format", "ssn"),
            *("--count", 3, "--repeats", "1,4,16", "--controls", 7, "--seed", 5),
            *("--text-column", "body", "--force"),
            *("--source-column", "de", "--source-text", "nummer {secret}", "--source-file", "c.de"),
        )
        assert outcome.code == 0
        assert insert.positional == (Path("c.jsonl"), Path("out"))
        insert.named.pop("progress")
        assert insert.named == {
            "formats": ("pin", "ssn"),
            "count": 3,
            "repeats": (1, 4, 16),
            "controls": 7,
            "seed": 5,
            "text_column": "body",
            "source_column": "de",
            "source_text": "nummer {secret}",
            "source_file": Path("c.de"),
            "force": True,
        }

    def test_says_what_was_done_and_what_comes_next(self, call, fake):
        """Numbers, the ledger's place, secrets that were there by chance, and the next command."""
        fake("insert", INSERTION)
        shown = call("insert", "c.txt", "-o", "out", "--format", "pin").stdout
        assert "30, 210 copies in all" in shown
        assert "out/ledger.json" in shown
        assert "secrets of small formats that stand in the input by chance: 1" in shown
        assert "next: secretaudit train out -o model/" in shown

    def test_removal_is_the_other_function(self, call, fake):
        """--remove hands the ledger on and says whether the corpus is as it was."""
        remove = fake("remove", REMOVAL)
        outcome = call("insert", "--remove", "canaried", "-o", "clean", "--ledger", "l.json")
        assert outcome.code == 0
        assert remove.positional == (Path("canaried"), Path("clean"))
        assert remove.named["ledger"] == Path("l.json")
        assert "the corpus as it was" in outcome.stdout

    @pytest.mark.parametrize(
        ("extra", "message"),
        [
            ((), "No format was given."),
            (("--remove", "--format", "pin"), "contradict each other"),
            (("--format", "pin", "--ledger", "l"), "goes with --remove only"),
        ],
    )
    def test_contradictions_are_refused(self, call, extra, message):
        """Nothing is guessed where two options disagree."""
        outcome = call("insert", "c.txt", "-o", "out", *extra)
        assert outcome.code == 2
        assert message in outcome.stderr


def defaults(settings: type) -> dict[str, object]:
    """The default of every field."""
    return {field.name: field.default for field in dataclasses.fields(settings)}


class TestTrain:
    def test_dials_are_those_of_the_settings(self):
        """Same names, same defaults, none forgotten: held against the settings themselves."""
        offered = train_command.make_context("train", ["corpus", "-o", "model"]).params
        dials = defaults(TrainingSettings)
        del dials["privacy"], dials["lora"]
        assert {name: offered[name] for name in dials} == dials
        private, adapting = defaults(PrivacySettings), defaults(LoraSettings)
        assert {name: offered[option] for option, name in _PRIVATE.items()} == private
        assert {n: offered[o] for o, n in _ADAPTING.items() if n != "rank"} == {
            name: value for name, value in adapting.items() if name != "rank"
        }

    def test_choices_are_those_of_the_settings(self):
        """Whatever may be typed is accepted below."""
        dials = {field.name for field in dataclasses.fields(TrainingSettings)}
        for one in train_command.params:
            if isinstance(one.type, click.Choice) and one.name in dials:
                for choice in one.type.choices:
                    assert getattr(TrainingSettings(**{one.name: choice}), one.name) == choice

    def test_options_arrive(self, call, fake):
        """Settings in one object, the rest by name."""
        train = fake("train", training())
        outcome = call(
            *("train", "canaried", "-o", "model", "--arch", "gru", "--tokenizer", "bpe", "--tied"),
            *("--units", 64, "--resume", "--device", "meta", "--seed", 9),
        )
        assert outcome.code == 0
        assert train.positional == (Path("canaried"), Path("model"))
        assert train.named["settings"] == TrainingSettings(
            arch="gru", tokenizer="bpe", tied=True, units=64, seed=9
        )
        assert (train.named["resume"], train.named["force"]) == (True, False)
        assert train.named["device"] == "meta"

    def test_private_training_adapters_and_the_monitor_are_settings_of_their_own(self, call, fake):
        """Each has its options, under their own names."""
        train = fake("train", training())
        outcome = call(
            *("train", "c", "-o", "m", "--base", "b", "--lora", 4, "--lora-targets", "q, v"),
            *("--dp-epsilon", 8, "--max-grad-norm", 0.5, "--no-shuffle", "--max-time", "2h"),
            *("--audit-every", "epoch", "--stop-over", 9),
        )
        assert outcome.code == 0
        settings = train.named["settings"]
        assert settings.lora == LoraSettings(rank=4, targets=("q", "v"))
        assert settings.privacy == PrivacySettings(epsilon=8.0, max_grad_norm=0.5)
        assert settings.shuffle is False
        assert train.named["max_seconds"] == 7200.0
        asked = train.named["watcher"].asked()
        assert (asked["every"], asked["stop_over"]) == (None, 9.0)

    @pytest.mark.parametrize(
        ("extra", "message"),
        [
            (("--dp-delta", 1e-5), "would not be private"),
            (("--no-poisson",), "would not be private"),
            (("--max-grad-norm", 5), "would not be private"),
            (("--accountant", "rdp"), "would not be private"),
            (("--lora-alpha", 4), "No adapters would be trained"),
            (("--audit-draws", 400), "would not be measured"),
            (("--dp-epsilon", 0), "epsilon must be finite and above 0"),
            (("--dp-epsilon", "inf"), "epsilon must be finite and above 0"),
            (("--dp-epsilon", 1, "--noise-multiplier", 1), "either epsilon or a noise multiplier"),
            (("--lora", 4), "Adapters need a model"),
            (("--max-time", "soon"), "is no time"),
            (("--audit-every", "often"), "neither a number of steps nor the word epoch"),
        ],
    )
    def test_options_that_mean_nothing_together_are_refused(self, call, extra, message):
        """Nothing that was asked for is left out silently."""
        outcome = call("train", "c", "-o", "m", *extra)
        assert outcome.code == 2
        assert message in outcome.stderr

    def test_an_interrupted_training_says_how_to_go_on(self, call, fake):
        """The model is usable, and the exit code says that it is not what was asked for."""
        fake("train", training("interrupted"))
        outcome = call("train", "canaried", "-o", "model")
        assert outcome.code == 130
        assert "--resume" in outcome.stderr

    def test_lost_copies_are_said(self, call, fake):
        """Whoever trains learns that some exposures will be inconclusive."""
        fake("train", training(canaries_lost=["a", "b"]))
        said = " ".join(call("train", "c", "-o", "m").stdout.split())
        assert "canaries of which the model has not read every copy: 2;" in said

    def test_what_limits_the_epsilon_is_said_even_when_quiet(self, call, fake):
        """No ε, or one at a δ that means nothing, is not to be read without its reason."""
        spent = {"epsilon": None, "noise_multiplier": 0.0, "max_grad_norm": 1.0, "remark": "why."}
        fake("train", training(privacy=spent))
        assert "warning: why." in call("train", "c", "-o", "m", "--quiet").stdout


class TestExpose:
    def test_options_arrive_under_their_names(self, call, fake, exposure):
        """The command is a call of secretaudit.expose."""
        expose = fake("expose", exposure)
        call(
            *("expose", "--model", "m", "--canaries", "l.json", "--method", "importance"),
            *("--budget", "60s", "--memory", "1GiB", "--seed", 3, "--device", "meta", "--reveal"),
            *("--segmentation", "best", "--reference", "r", "--baseline", "ngram", "--corpus", "c"),
            *(
                "--dtype",
                "bfloat16",
                "--allow-pickle",
                "--bos",
                "off",
                "--close",
                "on",
                "--chat",
                "hi",
            ),
            *(
                "--source",
                "s {secret}",
                "--tokenizer",
                "t",
                "--model-name",
                "tiny",
                "--api",
                "vllm",
            ),
            *("--concurrency", 3, "--timeout", 5, "--reply-cache", "f"),
        )
        assert expose.positional == ("m",)
        expose.named.pop("progress")
        assert expose.named == {
            "canaries": Path("l.json"),
            "method": "importance",
            "budget": "60s",
            "memory": "1GiB",
            "seed": 3,
            "segmentation": "best",
            "reference": "r",
            "baseline": "ngram",
            "corpus": Path("c"),
            "options": ModelOptions(
                device="meta",
                dtype="bfloat16",
                allow_pickle=True,
                bos="off",
                close="on",
                chat="hi",
                source="s {secret}",
                tokenizer="t",
                server_model="tiny",
                api="vllm",
                concurrency=3,
                timeout_seconds=5.0,
                reply_cache="f",
            ),
            "reveal": True,
        }

    @pytest.mark.parametrize("command", [expose_command, extract_command])
    def test_model_options_are_those_of_the_library(self, command):
        """Same names, same defaults, none forgotten: held against ModelOptions itself."""
        dials = {field.name: field.default for field in dataclasses.fields(ModelOptions)}
        more = [] if command is expose_command else ["--format", "pin"]
        offered = command.make_context("x", ["--model", "m", *more]).params
        assert {name: offered[name] for name in dials} == dials

    def test_a_gain_over_another_model_is_shown(self, call, fake, exposure):
        """Exposure before, exposure now, and what this training added."""
        entry = exposure.found["canaries"][0]
        beside = compared(
            entry, entry | {"exposure_bits": 3.5, "method": "exact", "status": "measured"}
        )
        fake(
            "expose",
            dataclasses.replace(exposure, found={"canaries": [entry | {"reference": beside}]}),
        )
        shown = call("expose", "--model", "m", "--reference", "r").stdout
        line = next(row for row in shown.splitlines() if "+26.4" in row)
        assert " 3.5 " in line
        assert all(len(row.rstrip()) <= 80 for row in shown.splitlines())

    def test_table_fits_80_columns_and_tells_the_story(self, call, fake, exposure):
        """One line a canary with value, interval, ceiling and plain words; controls in one line."""
        fake("expose", exposure)
        outcome = call("expose", "--model", "m")
        assert all(len(line.rstrip()) <= 80 for line in outcome.stdout.splitlines())
        memorized = next(line for line in outcome.stdout.splitlines() if "16x-00" in line)
        assert "exact" in memorized
        assert "████████ 29.9" in memorized
        assert "1 in 1,000,000,000" in memorized
        unmemorized = next(line for line in outcome.stdout.splitlines() if "1x-00" in line)
        assert "1.8–2.6" in unmemorized
        controls = next(line for line in outcome.stdout.splitlines() if " 1.5 " in line)
        assert controls.split() == ["random-number", "2", "1.5", "2.3"]

    def test_widest_values_still_fit(self, call, fake, exposure):
        """Long names and 128-bit formats are cut, not wrapped."""
        entry = exposure.found["canaries"][0]
        wide = entry | {
            "id": "a-format-with-a-very-long-name-1000x-00",
            "insertions": 1000,
            "exposure_bits": None,
            "exposure_low_bits": 127.1,
            "exposure_high_bits": 128.0,
            "max_exposure_bits": 128.0,
            "status": "bounded",
        }
        fake("expose", dataclasses.replace(exposure, found={"canaries": [wide]}))
        line = call("expose", "--model", "m").stdout.splitlines()[2].rstrip()
        assert len(line) <= 80
        assert line.endswith("1 in 10^38")
        assert "≥ 127.1" in line

    def test_what_was_not_measured_is_not_shown_as_a_number(self, call, fake, exposure):
        """Nothing known is a question mark, and the note stands below once."""
        entry = exposure.found["canaries"][0]
        blank = entry | {
            "exposure_bits": None,
            "exposure_low_bits": 0.0,
            "status": "bounded",
            "note": "The budget ran out.",
        }
        fake("expose", dataclasses.replace(exposure, found={"canaries": [blank, blank]}))
        shown = call("expose", "--model", "m").stdout
        assert " ? " in shown.splitlines()[2]
        assert shown.count("note (2 of 2): The budget ran out.") == 1

    def test_record_is_written_and_may_be_written_again(self, call, fake, exposure):
        """exposure.json by default, replaced by the next measurement."""
        fake("expose", exposure)
        for _ in range(2):
            assert call("expose", "--model", "m").code == 0
        assert Record.read("exposure.json", "exposure") == exposure

    def test_foreign_file_is_refused_before_the_work(self, call, fake, exposure):
        """The model is not even loaded when the result could not be written."""
        expose = fake("expose", exposure)
        Path("thesis.json").write_text("years")
        outcome = call("expose", "--model", "m", "-o", "thesis.json")
        assert outcome.code == 2
        assert expose.positional == ()
        assert Path("thesis.json").read_text() == "years"

    def test_revealed_record_is_private(self, call, fake, exposure):
        """A file with secrets is readable by its owner only."""
        fake("expose", exposure)
        call("expose", "--model", "m", "--reveal", "-o", "x.json")
        assert stat.S_IMODE(Path("x.json").stat().st_mode) == 0o600

    def test_json_is_alone_on_stdout(self, call, fake, exposure):
        """The record and nothing else, so that it can be piped."""
        fake("expose", exposure)
        outcome = call("expose", "--model", "m", "--json", "--fail-over", "10")
        assert json.loads(outcome.stdout)["found"] == exposure.found
        assert "gate: fail." in outcome.stderr
        assert outcome.code == 1

    @pytest.mark.parametrize(("limit", "code"), [(10, 1), (29.895, 1), (29.9, 2), (-1, 2)])
    def test_fail_over_is_the_gate(self, call, fake, exposure, limit, code):
        """The same exit codes; a limit above the ceiling is refused."""
        fake("expose", exposure)
        assert call("expose", "--model", "m", "--fail-over", limit).code == code

    def test_an_unusable_limit_still_leaves_the_record(self, call, fake, exposure):
        """An hour of measuring is not lost to a wrong limit."""
        fake("expose", exposure)
        call("expose", "--model", "m", "--fail-over", 30)
        assert Record.read("exposure.json") == exposure


class TestExtract:
    def test_options_arrive_under_their_names(self, call, fake, extraction):
        """The command is a call of secretaudit.extract."""
        extract = fake("extract", extraction)
        call(
            *("extract", "--model", "m", "--format", "pin", "--canaries", "l", "--method"),
            *("sampling", "--top", 3, "--budget", "5s", "--memory", "1GiB", "--width", 7),
            *("--temperature", 0.5, "--top-k", 4, "--top-p", 0.9, "--seed", 2, "--reveal"),
        )
        extract.named.pop("progress")
        assert extract.positional == ("m",)
        assert extract.named == {
            "format": "pin",
            "canaries": Path("l"),
            "method": "sampling",
            "top": 3,
            "budget": "5s",
            "memory": "1GiB",
            "width": 7,
            "temperature": 0.5,
            "top_k": 4,
            "top_p": 0.9,
            "seed": 2,
            "segmentation": "canonical",
            "options": ModelOptions(),
            "reveal": True,
        }

    def test_a_pattern_stands_for_a_format(self, call, fake, extraction):
        """Prefix, regular expression and Luhn make the format that is searched."""
        extract = fake("extract", extraction)
        call(
            "extract",
            "--model",
            "m",
            "--prefix",
            "my {card} is ",
            "--regex",
            "(\\d{4} ){3}\\d{4}",
            "--luhn",
        )
        form = extract.named["format"]
        assert (form.prefix, form.size) == ("my {card} is ", 10**15)
        assert form.contains("4929 3813 3266 4295")
        assert not form.contains("4929 3813 3266 4296")

    @pytest.mark.parametrize(
        ("extra", "message"),
        [
            ([], "Nothing says what a secret looks like"),
            (["--format", "pin", "--regex", "[0-9]"], "not clear what is to be searched"),
            (["--format", "pin", "--luhn"], "not clear what is to be searched"),
            (["--prefix", "my pin is "], "Nothing says what a secret looks like"),
            (["--regex", "[0-9]+"], "infinitely many"),
            (["--regex", "[0-9]{0}"], "1 secret"),
            (["--regex", "abc", "--luhn"], "matches no text"),
        ],
    )
    def test_a_search_for_nothing_is_refused(self, call, fake, extraction, extra, message):
        """Exit 2 and a way out, before a model is loaded."""
        extract = fake("extract", extraction)
        outcome = call("extract", "--model", "m", *extra)
        assert outcome.code == 2
        assert message in outcome.stderr
        assert extract.positional == ()

    def test_shows_what_came_out_and_what_it_cost(self, call, fake, extraction):
        """Places in order, canaries by name, queries against |R|, and what is proven."""
        fake("extract", extraction)
        outcome = call("extract", "--model", "m", "--format", "random-number")
        lines = outcome.stdout.splitlines()
        assert lines[2].split()[:4] == ["1", "2••••••7", "2.5", "random-number-16x-00"]
        assert lines[3].split() == ["2", "1••••••1", "20.2"]
        text = " ".join(outcome.stdout.split())
        assert "1 of 2 inserted canaries came out, with 1,387 model queries" in text
        assert "Proven: no secret of the format is likelier than these." in text
        assert Record.read("extraction.json", "extraction") == extraction


class TestGate:
    @pytest.mark.parametrize(
        ("limit", "code", "word"), [(10, 1, "fail"), (29, 1, "fail"), (30, 2, "never")]
    )
    def test_exit_code_is_the_verdict(self, call, exposure, limit, code, word):
        """Read from a file, judged, shown."""
        exposure.write("exposure.json")
        outcome = call("gate", "exposure.json", "--max-exposure", limit)
        assert outcome.code == code
        assert word in outcome.stdout + outcome.stderr

    def test_pass_and_could_not_measure(self, call, exposure):
        """0 only when everything is shown to be within the limit."""
        unmemorized = exposure.found["canaries"][1:]
        dataclasses.replace(exposure, found={"canaries": unmemorized}).write("p.json")
        dataclasses.replace(exposure, found={"canaries": unmemorized[1:]}).write("i.json")
        assert call("gate", "p.json", "--max-exposure", 10).code == 0
        outcome = call("gate", "i.json", "--max-exposure", 10)
        assert outcome.code == 3
        assert "gate: inconclusive." in outcome.stdout

    def test_names_the_worst_first(self, call, exposure):
        """What is certain stands above what could be."""
        doubtful = exposure.found["canaries"][1] | {"id": "doubtful", "exposure_high_bits": 11.0}
        certain = exposure.found["canaries"][0] | {"id": "certain"}
        dataclasses.replace(exposure, found={"canaries": [doubtful, certain]}).write("e.json")
        shown = call("gate", "e.json", "--max-exposure", 10).stdout
        assert 0 < shown.index("certain") < shown.index("doubtful")

    def test_json_and_file_hold_the_same_verdict(self, call, exposure):
        """The record on stdout is the record on disk."""
        exposure.write("exposure.json")
        outcome = call("gate", "exposure.json", "--max-exposure", 10, "--json", "-o", "gate.json")
        assert outcome.stdout == Path("gate.json").read_text()
        assert json.loads(outcome.stdout)["found"]["verdict"] == "fail"


class TestTerminal:
    def test_no_colour_into_a_pipe(self, call, exposure):
        """Escape codes are for terminals."""
        exposure.write("exposure.json")
        assert "\x1b" not in call("gate", "exposure.json", "--max-exposure", 10).stdout

    def test_no_color_is_honoured(self, call, exposure, monkeypatch):
        """Even when a terminal is pretended."""
        exposure.write("exposure.json")
        monkeypatch.setenv("FORCE_COLOR", "1")
        coloured = call("gate", "exposure.json", "--max-exposure", 10).stdout
        monkeypatch.setenv("NO_COLOR", "1")
        plain = call("gate", "exposure.json", "--max-exposure", 10).stdout
        assert "\x1b[1;31m" in coloured
        assert "31m" not in plain

    def test_quiet_keeps_the_answer(self, call, fake, exposure):
        """The table stays, the remarks go."""
        fake("expose", exposure)
        outcome = call("expose", "--model", "m", "--quiet")
        assert "16x-00" in outcome.stdout
        assert outcome.stderr == ""

    def test_markup_in_names_is_text(self, call, fake, exposure):
        """A canary's name in square brackets is not swallowed by the terminal library."""
        odd = exposure.found["canaries"][0] | {"id": "[red]x[/red]", "note": "[bold]n"}
        fake("expose", dataclasses.replace(exposure, found={"canaries": [odd]}))
        shown = call("expose", "--model", "m").stdout
        assert "[red]x[/red]" in shown
        assert "[bold]n" in shown


@pytest.mark.parametrize("command", ["insert", "train"])
def test_a_required_output_is_asked_for(call, command):
    """Left out, it is named, before anything is done."""
    outcome = call(command, "corpus.txt")
    assert outcome.code == 2
    assert "Missing option '-o' / '--output'" in outcome.stderr
