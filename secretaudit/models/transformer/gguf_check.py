"""A second reading of a GGUF file, against what the loader of transformers made of it.

*Settings.* Every setting of the architecture that stands in the file must be one that is known here, and must have the same value in
the configuration. A setting that nobody applies (a rotary scaling, a soft cap, experts) would leave all weights right and the numbers wrong.
*Tensors.* Every tensor of the file, dequantized, must be found among the weights of the same layer, element by element: as it stands, transposed, less
one (norms that are stored as 1 + w), or with the rows of queries and keys in the order of transformers. Files of the architecture "llama" hold,
for each head, the rows in the order 0, d/2, 1, d/2 + 1 …; a model with rows left in that order is wrong and looks right.
*Tokens.* Token i of the tokenizer must be token i of the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedTokenizerFast

from secretaudit.errors import ModelError

#: Settings that say nothing about the numbers.
_DESCRIPTIVE = {"tensor_data_layout", "rope.scaling.finetuned"}
_LOADER = "The loader of transformers"


@dataclass(frozen=True, kw_only=True, eq=False)
class GgufFile:
    """What a GGUF file says.

    Attributes:
        path: The file.
        architecture: Such as "llama".
        settings: Of the architecture, without its name in front.
        tokens: The tokenizer's tokens.
        tokenizer_kind: (model, splitting rule), such as ("gpt2", "llama-bpe").
        tensors: What the reader gives.
    """

    path: Path
    architecture: str
    settings: dict[str, Any]
    tokens: list[str]
    tokenizer_kind: tuple[str, str | None]
    tensors: list[Any]


def read_file(path: Path) -> GgufFile:
    """The settings, tokens and tensors of a file.

    Raises:
        ModelError: The file is truncated or damaged.
    """
    from gguf import GGUFReader  # only here: most audits need no such file

    try:
        reader = GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
        architecture = str(fields["general.architecture"])
        begin = architecture + "."
        return GgufFile(
            path=path,
            architecture=architecture,
            settings={k[len(begin) :]: v for k, v in fields.items() if k.startswith(begin)},
            tokens=list(fields.get("tokenizer.ggml.tokens", [])),
            tokenizer_kind=(
                str(fields.get("tokenizer.ggml.model", "none")),
                fields.get("tokenizer.ggml.pre"),
            ),
            tensors=list(reader.tensors),
        )
    except Exception as error:  # the reader maps the file and trips over whatever is not there
        raise ModelError(
            f"{path} cannot be read.",
            f"The file is truncated or damaged ({type(error).__name__}).",
            "Copy it again.",
        ) from error


def check_against_file(
    file: GgufFile, module: nn.Module, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Refuse a model that is not what the file says.

    Raises:
        ModelError: A setting, a tensor or a token differs.
    """
    config: Any = module.config
    for name, value in file.settings.items():
        _check_setting(file, name, value, config)
    if "rope.freq_base" not in file.settings:
        _check_setting(file, "rope.freq_base", 10000.0, config)
    _check_tensors(file, module)
    _check_tokens(file, tokenizer)


def _head_size(config: Any) -> int:
    size = getattr(config, "head_dim", None)
    return int(size) if size else int(config.hidden_size // config.num_attention_heads)


def _rotary(config: Any, name: str, default: float) -> float:
    scheme = getattr(config, "rope_parameters", None) or {}
    return float(scheme.get(name, default))


def _norm(config: Any) -> Any:
    names = ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "norm_eps", "norm_epsilon")
    return next((getattr(config, n) for n in names if getattr(config, n, None) is not None), None)


def _inner(config: Any) -> Any:
    size = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None)
    return size or 4 * config.hidden_size


#: What the configuration says of each setting that is known.
_SETTINGS: dict[str, Callable[[Any], Any]] = {
    "context_length": lambda c: c.max_position_embeddings,
    "embedding_length": lambda c: c.hidden_size,
    "block_count": lambda c: c.num_hidden_layers,
    "feed_forward_length": _inner,
    "attention.head_count": lambda c: c.num_attention_heads,
    "attention.head_count_kv": lambda c: getattr(c, "num_key_value_heads", c.num_attention_heads),
    "attention.key_length": _head_size,
    "attention.value_length": _head_size,
    "attention.layer_norm_rms_epsilon": _norm,
    "attention.layer_norm_epsilon": _norm,
    "attention.sliding_window": lambda c: getattr(c, "sliding_window", None),
    "rope.dimension_count": lambda c: _head_size(c) * _rotary(c, "partial_rotary_factor", 1.0),
    "rope.freq_base": lambda c: _rotary(c, "rope_theta", 10000.0),
    "rope.scaling.type": lambda c: _rope_kind(c),
    "vocab_size": lambda c: c.vocab_size,
    "attn_logit_softcapping": lambda c: getattr(c, "attn_logit_softcapping", None),
    "final_logit_softcapping": lambda c: getattr(c, "final_logit_softcapping", None),
    "use_parallel_residual": lambda c: getattr(c, "use_parallel_residual", None),
}


def _rope_kind(config: Any) -> str:
    scheme = getattr(config, "rope_parameters", None) or {}
    kind = str(scheme.get("rope_type", "default"))
    return "none" if kind == "default" else kind


def _check_setting(file: GgufFile, name: str, value: Any, config: Any) -> None:
    """Refuse a setting that is unknown, or that the configuration has otherwise."""
    if name in _DESCRIPTIVE:
        return
    known = _SETTINGS.get(name)
    told = known(config) if known is not None else None
    if known is not None and _equal(value, told):
        return
    reason = (
        f"{_LOADER} does not apply the setting {name} = {value}."
        if known is None or told is None
        else f"The file says {name} = {value}, and {_LOADER[0].lower()}{_LOADER[1:]} made {told} of it."
    )
    raise _wrong(file, reason)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(float(one), float(other), rel_tol=1e-6)
    return bool(one == other)


def _check_tensors(file: GgufFile, module: nn.Module) -> None:
    """Refuse a tensor of the file that is not among the weights."""
    from gguf import dequantize  # only here: most audits need no such file

    weights = [(name, weight.detach().cpu()) for name, weight in module.named_parameters()]
    for tensor in file.tensors:
        values = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        layer = re.match(r"blk(\.\d+\.)", tensor.name)
        near = [w for name, w in weights if layer is None or layer[1] in name]
        forms = _forms(file, str(tensor.name), values)
        if not any(_same(form, weight) for weight in near for form in forms):
            raise _wrong(file, f"{_LOADER} left out or changed the tensor {tensor.name}.")


def _forms(file: GgufFile, name: str, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """How the values of a tensor may stand in the model."""
    if file.architecture == "llama" and (".attn_q." in name or ".attn_k." in name):
        heads = int(file.settings["attention.head_count"])
        if ".attn_k." in name:
            heads = int(file.settings.get("attention.head_count_kv", heads))
        pairs = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
        return [pairs.swapaxes(1, 2).reshape(values.shape)]
    forms = [values]
    if values.ndim == 2:
        forms.append(values.T)
    if "norm" in name and file.architecture.startswith("gemma"):
        forms = [values - 1.0]
    return forms


def _same(values: NDArray[np.float32], weight: torch.Tensor) -> bool:
    if tuple(values.shape) != tuple(weight.shape):
        return False
    return torch.equal(torch.from_numpy(np.ascontiguousarray(values)).to(weight.dtype), weight)


def _check_tokens(file: GgufFile, tokenizer: PreTrainedTokenizerFast) -> None:
    """Refuse a tokenizer whose tokens are others than the file's."""
    if len(tokenizer) > len(file.tokens):
        raise _wrong(
            file, f"The tokenizer has {len(tokenizer)} tokens and the file {len(file.tokens)}."
        )
    ours = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    for number, (one, other) in enumerate(zip(ours, file.tokens, strict=False)):
        if str(one).replace(" ", "▁") != other.replace(" ", "▁"):
            raise _wrong(file, f"Token {number} of the tokenizer is another than in the file.")


def _wrong(file: GgufFile, reason: str) -> ModelError:
    return ModelError(
        f"What was loaded is not the model in {file.path}.",
        reason,
        "Convert the original model to safetensors and audit that; give its tokenizer with --tokenizer.",
    )
