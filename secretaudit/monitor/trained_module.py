"""A model in the middle of somebody else's training, as it has to be for a measurement, and left as it was found.

Around the module that ``transformers`` made there may stand wrappers: of ``accelerate`` (forward in half precision), of Opacus
(``GradSampleModule``), of several devices, of ``torch.compile``, of PEFT. They do not change the function that is measured, or only by
rounding, and are taken off. Within the block the module is in evaluation mode and computes in float32; afterwards the mode of every part, its
forward and torch's generators are what they were, so a training that is watched goes on bit for bit as one that is not.

Weights in half precision are measured in a copy in float32, as ``secretaudit.expose`` does: that takes memory for a second model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from secretaudit.errors import ModelError
from secretaudit.models.language_model import Framing, LanguageModel
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.recurrent.language_model import RecurrentLanguageModel
from secretaudit.models.recurrent.network import RecurrentForCausalLM
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.models.transformer.framing import framing_of
from secretaudit.models.transformer.language_model import TransformerLanguageModel

#: Under these names wrappers keep what they wrap: torch.compile, Opacus, and those for several devices.
_WRAPPED = ("_orig_mod", "_module", "module")
_EXACT = (torch.float32, torch.float64)


@contextmanager
def measurable(model: nn.Module) -> Iterator[nn.Module]:
    """The module itself, in evaluation mode and float32, until the block ends.

    Raises:
        ModelError: The model cannot be measured as a causal language model.
    """
    module = unwrapped(model)
    modes = [(part, part.training) for part in module.modules()]
    device = next(module.parameters()).device
    devices = [device] if device.type == "cuda" else []
    try:
        module.eval()
        with torch.random.fork_rng(devices=devices), _plain_forward(module):
            yield _in_float32(module)
    finally:
        for part, training in modes:
            part.training = training


def unwrapped(model: nn.Module) -> nn.Module:
    """The causal language model inside all wrappers; adapters stay in their layers.

    Raises:
        ModelError: There is none, or one that reads more than the text.
    """
    module = model
    while True:
        inner = next((module._modules[name] for name in _WRAPPED if name in module._modules), None)
        if inner is None or not hasattr(inner, "get_output_embeddings"):
            break
        module = inner
    described: Any = getattr(module, "active_peft_config", None)
    if described is not None:
        if described.is_prompt_learning:
            raise ModelError(
                f"Adapters of kind {described.peft_type} cannot be watched.",
                "They put trained vectors before the text, which are no tokens of the text.",
                "Use an adapter that changes weights, such as LoRA.",
            )
        module = module.get_base_model()  # type: ignore[operator]  # a method of PeftModel
    if getattr(getattr(module, "config", None), "is_encoder_decoder", False):
        raise ModelError(
            f"{type(module).__name__} is no causal language model.",
            "It reads a source text, and a Trainer does not say which.",
            "Train it with secretaudit.train, or measure its checkpoints with secretaudit expose --source TEXT.",
        )
    return module


@contextmanager
def _plain_forward(module: nn.Module) -> Iterator[None]:
    """Without the forward in half precision that ``accelerate`` has put into the module."""
    original = module.__dict__.get("_original_forward")
    mixed = module.__dict__.get("forward")
    if original is None or mixed is None:
        yield
        return
    module.__dict__["forward"] = original
    try:
        yield
    finally:
        module.__dict__["forward"] = mixed


def _in_float32(module: nn.Module) -> nn.Module:
    """The module, or a copy of one in half precision."""
    if all(p.dtype in _EXACT for p in module.parameters()):
        return module
    return copy.deepcopy(module).float()


class Texts:
    """How texts are encoded and framed, which training does not change, ready to be put beside the weights of the moment.

    Args:
        tokenizer: A fast tokenizer.
        options: ``bos``, ``close`` and ``chat`` are read.

    Attributes:
        framing: What stands around each text.

    Raises:
        ModelError: The tokenizer is none or no fast one, or lacks the tokens that are asked for.
        UsageError: An option has a value that is not known.
    """

    def __init__(self, tokenizer: object, options: ModelOptions) -> None:
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise ModelError(
                "There is no fast tokenizer."
                if tokenizer is None
                else "The tokenizer is not a fast one.",
                "A measurement reads the bytes of its tokens, which only fast tokenizers tell.",
                "Give one to the Trainer (processing_class) or to the callback (tokenizer).",
            )
        self._view = FastTokenizerView(tokenizer)
        self.framing: Framing = framing_of(tokenizer, self._view, options, closes=False)

    def model(self, module: nn.Module) -> LanguageModel:
        """The module with its weights as they are now.

        Raises:
            ModelError: The tokenizer does not fit the module, or the module is no causal language model.
        """
        name = type(module).__name__
        if not isinstance(module, RecurrentForCausalLM):
            return TransformerLanguageModel(module, self._view, framing=self.framing, name=name)
        model = RecurrentLanguageModel(
            module, self._view, separator=self._view.separator, name=name
        )
        model.framing = self.framing
        return model
