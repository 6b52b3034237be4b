"""From what a user names to a subject: every kind of data and model finds its reader, and a wrong name its suggestion."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from secretaudit.errors import ModelError, UsageError
from secretaudit.suite.classifier import logits
from secretaudit.suite.opening import Dials, Reading, open_learner, open_subject
from secretaudit.suite.subject import ClassifierSubject, LanguageSubject


def test_digits_and_the_usual_network() -> None:
    """Without a file; the limit draws a sample of each part by the seed."""
    subject = open_subject("digits", reading=Reading(limit=50, seed=3))
    assert isinstance(subject, ClassifierSubject)
    assert (len(subject.task.train), len(subject.task.held_out)) == (50, 50)
    assert subject.learner.name == "mlp"
    again = open_subject("digits", reading=Reading(limit=50, seed=3))
    assert isinstance(again, ClassifierSubject)
    assert again.task.fingerprint() == subject.task.fingerprint()


def test_a_corpus_is_modelled(tmp_path: Path) -> None:
    """A text is language; so is any table when it is said."""
    (tmp_path / "a.txt").write_text("".join(f"line {i} of text\n" for i in range(40)))
    subject = open_subject(tmp_path / "a.txt", dials=Dials(training={"units": 16}))
    assert isinstance(subject, LanguageSubject)
    assert (subject.settings.units, subject.settings.arch) == (16, "lstm")
    (tmp_path / "a.jsonl").write_text("".join(f'{{"text": "line {i}"}}\n' for i in range(40)))
    table = open_subject(tmp_path / "a.jsonl", reading=Reading(kind="language"))
    assert isinstance(table, LanguageSubject)
    assert isinstance(open_subject(tmp_path / "a.jsonl", "gru"), LanguageSubject)


MODULE = """
from torch import nn
def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
def shaped(task):
    return nn.Sequential(nn.Flatten(), nn.Linear(task.shape[-1] ** 2, task.classes))
NUMBER = 3
def no_module():
    return 3
"""


@pytest.fixture
def users_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "users_networks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path  # type: ignore[misc]  # a generator fixture
    sys.modules.pop("users_networks", None)
    sys.path.remove(str(tmp_path))


def test_a_users_function_makes_the_model(users_module: Path) -> None:
    """With the task or without, with weights or without."""
    for name in ("plain", "shaped"):
        subject = open_subject("digits", f"users_networks:{name}")
        assert isinstance(subject, ClassifierSubject)
        assert logits(subject.learner.fresh(1), subject.task.train.inputs[:3]).shape == (3, 10)
        assert subject.learner.given() is None
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    save_file(module.state_dict(), users_module / "w.safetensors")
    dials = Dials(weights=users_module / "w.safetensors")
    learner = open_learner("users_networks:plain", subject.task, dials)
    given = learner.given()
    assert given is not None
    x = subject.task.train.inputs[:5]
    assert torch.equal(logits(given, x), module(x).detach())
    save_file({"other": torch.zeros(1)}, users_module / "w.safetensors")
    with pytest.raises(ModelError, match=r"The weights .* cannot be used"):
        learner.given()


def test_functions_that_are_none(users_module: Path) -> None:
    """A name that Python cannot import, something that is no function, a function that makes no module."""
    task = open_subject("digits").task
    for name, message in (
        ("users_networks:plane", "There is no function users_networks:plane"),
        ("users_networks:NUMBER", "users_networks:NUMBER is no function"),
    ):
        with pytest.raises(ModelError, match=message):
            open_learner(name, task)  # type: ignore[arg-type]  # a classifier's task
    with pytest.raises(ModelError, match="made int, not a torch module"):
        open_learner("users_networks:no_module", task).fresh(0)  # type: ignore[arg-type]  # as above


def test_wrong_names_are_refused(tmp_path: Path) -> None:
    """Of data, of a model, of an architecture's dial, and a file of no kind that is known."""
    with pytest.raises(UsageError, match="There is no data 'digit'"):
        open_subject("digit")
    with pytest.raises(ModelError, match="There is no model 'lenett'") as found:
        open_subject("digits", "lenett")
    assert "'lenet'" in found.value.way_out
    with pytest.raises(UsageError, match="option of mlp must be one of hidden"):
        open_subject("digits", "mlp", dials=Dials(options={"hiden": 3}))
    (tmp_path / "a.xyz").write_text("")
    with pytest.raises(UsageError, match="cannot be read as labelled examples"):
        open_subject(tmp_path / "a.xyz")
    with pytest.raises(UsageError, match="kind must be one of auto, classifier, language"):
        Reading(kind="langage")


def test_one_class_in_a_file_is_refused(tmp_path: Path) -> None:
    """Where it is read, by the file's name."""
    np.savez(tmp_path / "one.npz", x=np.zeros((9, 4)), y=np.zeros(9, dtype=int))
    with pytest.raises(UsageError, match="All training examples of one have one class"):
        open_subject(tmp_path / "one.npz")
