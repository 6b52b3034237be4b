"""Directories and files with tiny transformers, as other programs leave them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from secretaudit.models.tokens.building import build_tokenizer

from .tiny_transformers import tiny

RECORDS = ["the cat sat on the mat", "my pin is 0412", "a  b", "the answer: 42."]


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with a few merges; token 0 begins and ends texts."""
    return build_tokenizer("bpe", RECORDS, vocabulary_size=280)


def save_transformer(directory: Path, make: str = "gpt2", **fields: Any) -> Any:
    """Save a tiny model with its tokenizer, and return the module."""
    tokenizer = byte_tokenizer()
    module = tiny(make, **{"vocab_size": len(tokenizer), **fields})
    module.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return module


def edit(directory: Path, name: str = "config.json", **fields: object) -> None:
    """Change fields of a JSON file on disk; ``None`` takes one out."""
    file = directory / name
    document = {**json.loads(file.read_text()), **fields}
    file.write_text(json.dumps({k: v for k, v in document.items() if v is not None}))


def save_gguf(path: Path, module: Any, *, interleave: bool = True, **settings: Any) -> None:
    """Write a tiny Llama as llama.cpp's converter does: rows of queries and keys interleaved in each head.

    Args:
        path: The file.
        module: A ``LlamaForCausalLM``.
        interleave: False leaves the rows in the order of transformers, as a faulty converter might.
        settings: Further settings of the architecture; ``None`` leaves one out.
    """
    from gguf import GGUFWriter

    config, tokenizer = module.config, byte_tokenizer()
    writer = GGUFWriter(path, "llama")
    told = {
        "context_length": config.max_position_embeddings, "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers, "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads, "attention.head_count_kv": config.num_key_value_heads,
        "rope.dimension_count": config.head_dim, "rope.freq_base": 10000.0, "vocab_size": config.vocab_size,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps, **settings,
    }  # fmt: skip
    for name, value in told.items():
        if isinstance(value, str):
            writer.add_string(f"llama.{name}", value)
        elif isinstance(value, float):
            writer.add_float32(f"llama.{name}", value)
        elif value is not None:
            writer.add_uint32(f"llama.{name}", value)
    _add_tokenizer(writer, tokenizer)
    for name, values in _named_tensors(module, interleave):
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))
    writer.add_token_types([3 if i == 0 else 1 for i in range(len(tokenizer))])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)


def _named_tensors(module: Any, interleave: bool) -> list[tuple[str, np.ndarray]]:
    """The weights under the names of llama.cpp."""
    names = {
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    }  # fmt: skip
    parts = {
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }  # fmt: skip
    config, tensors = module.config, []
    for key, weight in module.state_dict().items():
        name, values = key.removesuffix(".weight"), weight.to(torch.float32).numpy()
        if name not in names:
            _, _, layer, part = name.split(".", 3)
            heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
            count = heads.get(parts[part])
            if count and interleave:
                halves = values.reshape(count, 2, -1, values.shape[1])
                values = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)
            name = f"blk.{layer}.{parts[part]}"
        tensors.append((f"{names.get(name, name)}.weight", values))
    return tensors
