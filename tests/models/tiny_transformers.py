"""Causal transformers of every make with a few thousand random weights, larger than usual so that mistakes show."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY = 37

_SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 24, "pad_token_id": None, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip

#: Settings per make; the name before "/" is the model type.
MAKES: dict[str, dict[str, Any]] = {
    "gpt2": {
        "vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 24,
        "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None,
    },
    "llama": {**_SMALL, "num_key_value_heads": 2},
    "llama/tied-vocabulary-of-1000": {**_SMALL, "vocab_size": 1000, "tie_word_embeddings": True},
    "qwen2": {**_SMALL, "num_key_value_heads": 2},
    "mistral": {**_SMALL, "num_key_value_heads": 2, "sliding_window": None},
    "mistral/window-of-4": {**_SMALL, "num_key_value_heads": 2, "sliding_window": 4},
    "gemma2": {
        **_SMALL, "num_key_value_heads": 2, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 5,
        "final_logit_softcapping": 3.0, "attn_logit_softcapping": 5.0,
    },
    "gpt_neox": {**_SMALL},
    "gptj": {
        "vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 24, "rotary_dim": 4,
        "bos_token_id": 0, "eos_token_id": 0,
    },
    "gpt_neo": {
        "vocab_size": VOCABULARY, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "max_position_embeddings": 24,
        "attention_types": [[["global", "local"], 1]], "window_size": 4, "bos_token_id": 0, "eos_token_id": 0,
    },
    "bloom": {
        "vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4, "pad_token_id": None,
        "bos_token_id": 0, "eos_token_id": 0,
    },
    "falcon": {**_SMALL, "alibi": False, "new_decoder_architecture": False, "multi_query": True},
    "falcon/alibi": {**_SMALL, "alibi": True, "multi_query": False, "parallel_attn": False},
    "opt": {
        **_SMALL, "ffn_dim": 48, "word_embed_proj_dim": 32, "pad_token_id": 1,
    },
    "phi3": {**_SMALL, "num_key_value_heads": 2},
    "cohere": {**_SMALL, "num_key_value_heads": 2, "logit_scale": 0.3},
    "mamba": {
        "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "time_step_rank": 4,
        "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
    },
}  # fmt: skip


def tiny(make: str, **fields: Any) -> Any:
    """A module of this make with weights from a fixed seed."""
    config = AutoConfig.for_model(make.split("/")[0], **{**MAKES[make], **fields})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        module = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim >= 2 and "A_log" not in name:
                parameter.mul_(6.0)
    return module.eval()
