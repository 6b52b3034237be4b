"""GGUF files of small GPT-2 and Llama models, for llama.cpp: written by hand with the ``gguf`` library, in float32.

Llama's query and key weights are stored by transformers in halves and by llama.cpp in pairs (the two ways to write rotary positions), so their rows are
put in another order. A SentencePiece vocabulary needs a score per token, by which llama.cpp merges; the rank of the merge that makes it serves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
_GPT2_NORMS = {"attn_norm": "ln_1", "ffn_norm": "ln_2"}
_GPT2_WEIGHTS = {
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
_LLAMA_WEIGHTS = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def write_gguf(directory: Path, file: Path) -> None:
    """The GGUF file of a GPT-2 or Llama model directory."""
    config = json.loads((directory / "config.json").read_text())
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    weights = {
        name.removeprefix("transformer.").removeprefix("model."): value
        for name, value in load_file(directory / "model.safetensors").items()
    }
    kind = config["model_type"]
    writer = gguf.GGUFWriter(str(file), kind)
    writer.add_name(directory.name)
    writer.add_file_type(0)
    {"gpt2": _gpt2, "llama": _llama}[kind](writer, config, tokenizer, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tokens(tokenizer: dict[str, Any], count: int) -> tuple[list[str], list[int]]:
    """(text, kind) of each token id."""
    texts = [f"[unused{i}]" for i in range(count)]
    for text, token in tokenizer["model"]["vocab"].items():
        texts[token] = text
    kinds = [BYTE if len(t) == 6 and t.startswith("<0x") else NORMAL for t in texts]
    for added in tokenizer["added_tokens"]:
        texts[added["id"]] = added["content"]
        kinds[added["id"]] = UNKNOWN if added["content"] == "<unk>" else CONTROL
    return texts, kinds


def _merges(tokenizer: dict[str, Any]) -> list[list[str]]:
    return [m if isinstance(m, list) else m.split(" ") for m in tokenizer["model"]["merges"]]


def _gpt2(
    writer: Any, config: dict[str, Any], tokenizer: dict[str, Any], weights: dict[str, Any]
) -> None:
    texts, kinds = _tokens(tokenizer, config["vocab_size"])
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(4 * config["n_embd"])
    writer.add_block_count(config["n_layer"])
    writer.add_head_count(config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(texts)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in _merges(tokenizer)])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_tensor("token_embd.weight", weights["wte.weight"])
    writer.add_tensor("position_embd.weight", weights["wpe.weight"])
    writer.add_tensor("output.weight", weights["wte.weight"])
    for layer in range(config["n_layer"]):
        for ours, theirs in (_GPT2_NORMS | _GPT2_WEIGHTS).items():
            value = weights[f"h.{layer}.{theirs}.weight"]
            writer.add_tensor(f"blk.{layer}.{ours}.weight", np.ascontiguousarray(value.T))
            writer.add_tensor(f"blk.{layer}.{ours}.bias", weights[f"h.{layer}.{theirs}.bias"])
    writer.add_tensor("output_norm.weight", weights["ln_f.weight"])
    writer.add_tensor("output_norm.bias", weights["ln_f.bias"])


def _llama(
    writer: Any, config: dict[str, Any], tokenizer: dict[str, Any], weights: dict[str, Any]
) -> None:
    texts, kinds = _tokens(tokenizer, config["vocab_size"])
    rank = {"".join(pair): -float(i) for i, pair in reversed(list(enumerate(_merges(tokenizer))))}
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(groups)
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(texts)
    writer.add_token_types(kinds)
    writer.add_token_scores([rank.get(text, -1e6) for text in texts])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(True)
    writer.add_tensor("token_embd.weight", weights["embed_tokens.weight"])
    writer.add_tensor("output.weight", weights["embed_tokens.weight"])
    for layer in range(config["num_hidden_layers"]):
        for ours, theirs in _LLAMA_WEIGHTS.items():
            writer.add_tensor(
                f"blk.{layer}.{ours}.weight", weights[f"layers.{layer}.{theirs}.weight"]
            )
        for ours, theirs, count in (("attn_q", "q_proj", heads), ("attn_k", "k_proj", groups)):
            value = weights[f"layers.{layer}.self_attn.{theirs}.weight"]
            writer.add_tensor(f"blk.{layer}.{ours}.weight", _in_pairs(value, count))
    writer.add_tensor("output_norm.weight", weights["norm.weight"])


def _in_pairs(value: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of each head from halves to pairs."""
    halves = value.reshape(heads, 2, value.shape[0] // heads // 2, value.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(value.shape))
