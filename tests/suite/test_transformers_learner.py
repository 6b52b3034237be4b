"""Classifiers of transformers behind the suite's face: what they give is what transformers gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from secretaudit.errors import ModelError
from secretaudit.suite.classifier import logits
from secretaudit.suite.data.tables import text_task
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.per_example import (
    input_gradients,
    parameter_gradients,
    parameter_gradients_one_by_one,
)
from secretaudit.suite.transformers_learner import (
    OfDirectory,
    encode_texts,
    is_classifier_directory,
)

WORDS = ["[PAD]", "[UNK]", "a", "b", "c", "d"]
TEXTS = ["a b", "c", "a a a d", "b c d", "d", "c b a b"]


def save_tokenizer(place: Path) -> None:
    model = models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    )
    wrapped.save_pretrained(place)


def bert() -> Any:
    config = transformers.BertConfig(
        vocab_size=6,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=2,
        max_position_embeddings=16,
    )
    return transformers.BertForSequenceClassification(config).eval()


def gpt2() -> Any:
    config = transformers.GPT2Config(
        vocab_size=6, n_embd=16, n_layer=2, n_head=2, n_positions=16, num_labels=2, pad_token_id=0
    )
    return transformers.GPT2ForSequenceClassification(config).eval()


@pytest.fixture(params=[bert, gpt2])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    request.param().save_pretrained(tmp_path / "model")
    save_tokenizer(tmp_path / "model")
    return tmp_path / "model"


def task_for(directory: Path) -> Task:
    labels = [0, 1, 0, 1, 1, 0]
    return text_task(TEXTS, labels, (TEXTS, labels), ["0", "1"], name="toy", tokenizer=directory)


def test_texts_cost_what_they_cost_alone(directory: Path) -> None:
    """Padding changes nothing: each row equals transformers' own scores of the one text, without any padding."""
    task = task_for(directory)
    model = OfDirectory(path=directory, task=task).given()
    assert model is not None
    found = logits(model, task.train.inputs)
    own = transformers.AutoModelForSequenceClassification.from_pretrained(directory).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    for row, text in zip(found, TEXTS, strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            assert torch.allclose(own(input_ids=ids).logits[0], row, atol=1e-5)


def test_gradients_reach_embeddings_and_parameters(directory: Path) -> None:
    """Of each example alone, padding gets none, and the mapped gradients are those of a loop."""
    task = task_for(directory)
    model = OfDirectory(path=directory, task=task).given()
    assert model is not None
    x, y = task.train.inputs, task.train.labels
    slopes = input_gradients(model, x, y)
    assert slopes.shape == (6, 4, 16)
    assert float(slopes[x == 0].abs().max()) == 0.0
    assert float(slopes[x != 0].abs().min(-1).values.max()) > 0.0
    names = [name for name, p in model.named_parameters() if p.ndim == 2][-1:]
    mapped = parameter_gradients(model, x, y, names=names)
    looped = parameter_gradients_one_by_one(model, x, y, names=names)
    assert torch.allclose(mapped, looped, atol=1e-5)


def test_fresh_models_have_new_weights_and_the_tasks_classes(directory: Path) -> None:
    """By the seed; three classes where the directory knows two."""
    texts, labels = TEXTS, [0, 1, 2, 0, 1, 2]
    task = text_task(
        texts, labels, (texts, labels), ["x", "y", "z"], name="toy", tokenizer=directory
    )
    learner = OfDirectory(path=directory, task=task)
    first, second = (logits(learner.fresh(seed), task.train.inputs) for seed in (1, 1))
    assert first.shape == (6, 3)
    assert torch.equal(first, second)
    assert not torch.equal(first, logits(learner.fresh(2), task.train.inputs))
    with pytest.raises(ModelError, match="knows 2 classes, the data has 3"):
        learner.given()


@pytest.mark.parametrize("kind", ["image", "clip"])
def test_images_and_clips_are_read(kind: str, tmp_path: Path) -> None:
    """A ViT gets pixels as they are, a VideoMAE gets its frames in front."""
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    if kind == "image":
        config: Any = transformers.ViTConfig(
            image_size=8, patch_size=4, num_channels=1, num_labels=2, **sizes
        )
        own: Any = transformers.ViTForImageClassification(config)
        x = torch.rand(4, 1, 8, 8)
        given = {"pixel_values": x}
    else:
        config = transformers.VideoMAEConfig(
            image_size=8,
            patch_size=4,
            num_channels=3,
            num_frames=4,
            tubelet_size=2,
            num_labels=2,
            **sizes,
        )
        own = transformers.VideoMAEForVideoClassification(config)
        x = torch.rand(4, 3, 4, 8, 8)
        given = {"pixel_values": x.permute(0, 2, 1, 3, 4)}
    own.eval().save_pretrained(tmp_path)
    part = Labelled(inputs=x, labels=torch.tensor([0, 1, 0, 1]))
    task = Task(name="toy", kind=kind, train=part, held_out=part, class_names=["0", "1"])
    model = OfDirectory(path=tmp_path, task=task).given()
    assert model is not None
    with torch.no_grad():
        assert torch.allclose(own(**given).logits, logits(model, x), atol=1e-5)


def test_what_does_not_fit_is_refused(directory: Path, tmp_path: Path) -> None:
    """A language model, data of another kind, pickled weights, and a directory without a tokenizer."""
    assert is_classifier_directory(directory)
    table = Labelled(inputs=torch.zeros(4, 2), labels=torch.tensor([0, 1, 0, 1]))
    task = Task(name="toy", kind="table", train=table, held_out=table, class_names=["0", "1"])
    with pytest.raises(ModelError, match="cannot classify toy"):
        OfDirectory(path=directory, task=task)
    other = tmp_path / "lm"
    transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=9)
    ).save_pretrained(other)
    assert not is_classifier_directory(other)
    with pytest.raises(ModelError, match=r".*lm has no tokenizer"):
        encode_texts(other, TEXTS, 8)
    fitting = task_for(directory)
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(ModelError, match="are pickled"):
        OfDirectory(path=directory, task=fitting).given()


def test_weights_that_are_missing_are_not_made_up(directory: Path) -> None:
    """Transformers would draw a new head and go on; a model looked at as it is must be whole."""
    file = directory / "model.safetensors"
    state = load_file(file)
    head = next(name for name in state if name.startswith(("classifier", "score")))
    save_file(
        {name: value for name, value in state.items() if name != head}, file, {"format": "pt"}
    )
    with pytest.raises(ModelError) as refused:
        OfDirectory(path=directory, task=task_for(directory)).given()
    assert head in str(refused.value)
