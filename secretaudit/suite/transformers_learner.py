"""Classifiers of ``transformers`` from a directory: for sequences, images and video.

The directory's ``config.json`` names the class. Weights are read from safetensors in float32, code that comes with a model is never run, and
attention is computed in the plain way ("eager"), because sensitivity differentiates twice and the fused kernels cannot.

What goes in:

- images of a task, (n, channels, height, width), as pixel values; no processor of the model's own is applied, so the task's scale counts;
- clips, (n, channels, frames, height, width), with frames brought to the front;
- text as the model's tokenizer's ids plus one, so that 0 is free for padding (``encode_texts``).

Models that read the class off the last token (decoders such as GPT-2) get each text moved to the right end of its row, with positions that count
from its first token, so that padding changes nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from secretaudit.errors import ModelError
from secretaudit.models.model_directory import TOKENIZER_FILES
from secretaudit.models.quiet import quiet
from secretaudit.suite.classifier import Classifier
from secretaudit.suite.labelled import PADDING, Task
from secretaudit.suite.learner import seeded, weights_sha256

__all__ = ["OfDirectory", "encode_texts", "is_classifier_directory"]

#: The kind of data that a class reads, by how its name ends.
_KINDS = {
    "ForSequenceClassification": "text",
    "ForImageClassification": "image",
    "ForVideoClassification": "clip",
}


def is_classifier_directory(path: str | Path) -> bool:
    """Whether a directory holds a configuration whose class is a classifier."""
    return _kind(_config(path)) is not None if (Path(path) / "config.json").is_file() else False


def encode_texts(path: str | Path, texts: Sequence[str], longest: int) -> tuple[Tensor, int]:
    """Token ids plus one, and the size of the vocabulary with the padding.

    Args:
        path: Directory of the model and its tokenizer.
        texts: n texts.
        longest: Tokens that count of each text.

    Returns:
        Shape (n, T) with T the longest text's tokens, padded with 0; and the number of ids.

    Raises:
        ModelError: The directory has no tokenizer.
    """
    from transformers import AutoTokenizer  # takes seconds to import

    if not any((Path(path) / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(
            f"{path} has no tokenizer.",
            f"None of {', '.join(TOKENIZER_FILES)} is there.",
            "Save the tokenizer beside the model (tokenizer.save_pretrained).",
        )
    try:
        with quiet():
            tokenizer: Any = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        rows = tokenizer(list(texts), truncation=True, max_length=longest)["input_ids"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"The tokenizer of {path} cannot be used.",
            f"It says: {str(error).splitlines()[0]}",
            "Save the tokenizer beside the model (tokenizer.save_pretrained).",
        ) from error
    width = max(1, max(len(row) for row in rows))
    filled = torch.full((len(rows), width), PADDING, dtype=torch.int64)
    for place, row in zip(filled, rows, strict=True):
        place[: len(row)] = torch.tensor(row, dtype=torch.int64) + 1
    return filled, max(len(tokenizer), _config(path).vocab_size) + 1


@dataclass(frozen=True, kw_only=True, eq=False)
class OfDirectory:
    """A classifier's directory, for one task.

    Attributes:
        path: The directory.
        task: What it is to read.

    Raises:
        ModelError: Not a classifier, or one of another kind of data.
    """

    path: Path
    task: Task

    def __post_init__(self) -> None:
        kind = _kind(_config(self.path))
        if kind != self.task.kind:
            raise ModelError(
                f"{self.path} cannot classify {self.task.name}.",
                f"The model is for {kind or 'something other than classification'}, the data is of kind {self.task.kind!r}.",
                "Name a model for such data.",
            )

    @property
    def name(self) -> str:
        """The directory's."""
        return self.path.resolve().name

    def fresh(self, seed: int) -> Classifier:
        """The directory's configuration with new weights, and as many classes as the task has."""
        config = _config(self.path)
        config.num_labels = self.task.classes
        make = _auto(config)
        return TransformersClassifier(
            seeded(lambda: make.from_config(config, attn_implementation="eager"), seed),
            self.task.kind,
        )

    def given(self) -> Classifier | None:
        """The directory's weights; ``None`` when it holds only a configuration.

        Raises:
            ModelError: The weights cannot be read, or are for another number of classes.
        """
        if not any(self.path.glob("*.safetensors")):
            if any(self.path.glob("*.bin")):
                raise ModelError(
                    f"The weights of {self.path} are pickled.",
                    "Opening a pickle runs code in it.",
                    "Save the model with safetensors (model.save_pretrained).",
                )
            return None
        config = _config(self.path)
        if config.num_labels != self.task.classes:
            raise ModelError(
                f"{self.path} knows {config.num_labels} classes, the data has {self.task.classes}.",
                "Predictions could not be compared with labels.",
                "Use the data that the model was made for.",
            )
        try:
            with quiet():
                model, loaded = _auto(config).from_pretrained(
                    self.path,
                    output_loading_info=True,
                    dtype=torch.float32,
                    use_safetensors=True,
                    attn_implementation="eager",
                    trust_remote_code=False,
                )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise ModelError(
                f"The model in {self.path} cannot be read.",
                f"transformers says: {str(error).splitlines()[0]}",
                "Save it again with save_pretrained.",
            ) from error
        if missing := sorted({*loaded["missing_keys"], *map(str, loaded["mismatched_keys"])}):
            raise ModelError(
                f"The weights in {self.path} are not complete.",
                f"{missing[0]} and {len(missing) - 1} more would be drawn at random.",
                "Copy the whole model, or take the weights away to have it trained anew.",
            )
        return TransformersClassifier(model, self.task.kind)

    def described(self) -> dict[str, Any]:
        """The directory, its class, and a digest of its weights."""
        found = self.given()
        config = _config(self.path)
        return {
            "kind": "transformers",
            "name": self.name,
            "class": (config.architectures or ["?"])[0],
            "config": {k: v for k, v in sorted(config.to_diff_dict().items()) if _is_plain(v)},
            "weights_sha256": None if found is None else weights_sha256(found),
        }


class TransformersClassifier(Classifier):
    """A transformers classifier behind the suite's face.

    Args:
        model: With a ``logits`` output.
        kind: "text", "image" or "clip".
    """

    def __init__(self, model: nn.Module, kind: str) -> None:
        super().__init__()
        self.model: Any = model
        self.kind = kind
        self.reads_last = kind == "text" and hasattr(model, "score")
        if kind == "text" and model.config.pad_token_id is None:  # type: ignore[union-attr]  # a PreTrainedModel
            model.config.pad_token_id = 0  # type: ignore[union-attr]  # the last token is found by the mask, not by this id

    def __deepcopy__(self, memo: dict[int, Any]) -> TransformersClassifier:
        return TransformersClassifier(copy.deepcopy(self.model, memo), self.kind)

    def continuous(self, inputs: Tensor) -> Tensor:
        """Embeddings (n, T, d) of text; everything else as it is."""
        if self.kind != "text":
            return inputs
        found: Tensor = self.model.get_input_embeddings()((inputs - 1).clamp(min=0))
        return found

    def from_continuous(self, points: Tensor, inputs: Tensor) -> Tensor:
        """Scores of shape (n, K)."""
        match self.kind:
            case "image":
                scores = self.model(pixel_values=points).logits
            case "clip":
                scores = self.model(pixel_values=points.transpose(1, 2)).logits
            case _:
                scores = self._of_text(points, inputs != PADDING)
        found: Tensor = scores
        return found

    def _of_text(self, points: Tensor, shown: Tensor) -> Tensor:
        """Scores of embeddings; rows are turned so that padding stands on the left where the last token counts."""
        if not self.reads_last:
            answer = self.model(inputs_embeds=points, attention_mask=shown.long())
            return answer.logits  # type: ignore[no-any-return]  # transformers is loosely typed
        width = shown.shape[1]
        places = torch.arange(width, device=points.device)
        shift = width - shown.sum(1, keepdim=True)
        source = (places - shift) % width
        moved = points.gather(1, source.unsqueeze(2).expand_as(points))
        mask = (places >= shift).long()
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        answer = self.model(inputs_embeds=moved, attention_mask=mask, position_ids=positions)
        return answer.logits  # type: ignore[no-any-return]  # as above


def _config(path: str | Path) -> Any:
    """The directory's configuration."""
    from transformers import AutoConfig  # takes seconds to import

    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path} is not a model of transformers.",
            f"transformers says: {str(error).splitlines()[0]}",
            "Name a directory that save_pretrained wrote.",
        ) from error


def _kind(config: Any) -> str | None:
    names = config.architectures or [""]
    return next((kind for end, kind in _KINDS.items() if names[0].endswith(end)), None)


def _auto(config: Any) -> Any:
    """The automatic class for a configuration."""
    import transformers

    return {
        "text": transformers.AutoModelForSequenceClassification,
        "image": transformers.AutoModelForImageClassification,
        "clip": transformers.AutoModelForVideoClassification,
    }[_kind(config) or "text"]


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | bool | int | float)
