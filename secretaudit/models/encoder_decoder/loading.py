"""Encoder–decoder models from their directory: weights as for causal transformers, and a tokenizer that writes two languages.

What the decoder reads before a target, and what ends one, is asked of the tokenizer itself: it writes a text as a target, with its special
tokens and without, and what stands around the text is the framing. The decoder's own start token comes first of all.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedTokenizerFast

from secretaudit.canary.source_text import PLACEHOLDER
from secretaudit.errors import ModelError, UsageError
from secretaudit.models.encoder_decoder.language_model import (
    EncoderDecoderLanguageModel,
    PairScorer,
    SourceEncoder,
)
from secretaudit.models.encoder_decoder.network import EncoderDecoderNetwork
from secretaudit.models.language_model import Framing, TokenView
from secretaudit.models.model_directory import (
    check_choices,
    check_finite_weights,
    check_weights,
    dtype_of,
    on_device,
    read_config_fields,
    tokenizer_directory,
)
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.quiet import quiet
from secretaudit.models.tokens.sentence_pieces import SentencePieceView
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.models.transformer.loading import check_complete, read_configuration

#: Texts that the tokenizer is asked to write as targets.
_PROBES = ("my pin is 0412", "a", "1")


def load_encoder_decoder(
    directory: Path, options: ModelOptions, recorded_source: str | None = None
) -> EncoderDecoderLanguageModel | PairScorer:
    """The encoder–decoder model in a directory, bound to the source that the options name.

    Args:
        directory: As ``save_pretrained`` writes it.
        options: How to open it; without a ``source`` the recorded one is taken.
        recorded_source: What the ledger of the canaries says that they stood beside.

    Returns:
        A ``LanguageModel`` of targets given the source; or, where the source holds ``{secret}``, what prices whole pairs.

    Raises:
        UsageError: No source, or an option that means nothing here or has a value that is not known.
        ModelError: The weights or the tokenizer cannot be used; see the refusals of this folder.
    """
    source = source_of(directory, options, recorded_source)
    module = load_pair_module(directory, options)
    tokenizer = load_pair_tokenizer(tokenizer_directory(directory, options))
    model = unbound_model(
        module, tokenizer, close=options.close != "off", name=directory.resolve().name
    )
    return model.asked(source)


def unbound_model(
    module: Any, tokenizer: Any, *, close: bool = True, name: str = "encoder-decoder"
) -> EncoderDecoderLanguageModel:
    """A module with its tokenizer as a model that is bound to no source yet.

    Args:
        module: Any ``AutoModelForSeq2SeqLM``; put into evaluation mode.
        tokenizer: Writes sources and targets.
        close: Whether the token that ends a target is charged.
        name: What reports call the model.

    Raises:
        ModelError: The tokenizer does not fit the module, or cannot be audited.
    """
    network = EncoderDecoderNetwork(module)
    view, encode_source = sides(tokenizer)
    if len(view.token_bytes) > network.vocabulary_size:
        raise ModelError(
            f"The tokenizer of {name} does not fit the model.",
            f"It has {len(view.token_bytes)} tokens and the model predicts {network.vocabulary_size}.",
            "Put the tokenizer of the same training into the directory.",
        )
    _check_same(tokenizer, view)
    return EncoderDecoderLanguageModel(
        network,
        view,
        encode_source,
        framing=_framing(module, tokenizer, close),
        name=name,
    )


def source_of(directory: Path, options: ModelOptions, recorded: str | None) -> str:
    """The source that is asked for, or else the recorded one, once all options are known to mean something here.

    Raises:
        UsageError: There is none, or an option means nothing to an encoder–decoder model.
    """
    source = recorded if options.source is None else options.source
    if source is None:
        raise UsageError(
            f"The model in {directory} needs a source.",
            "It is an encoder–decoder model: it prices a target given a source text.",
            f"Say what stands on the other side: --source TEXT ({PLACEHOLDER} in it stands for the secret).",
        )
    if options.chat is not None:
        raise UsageError(
            "An encoder–decoder model has no chat.",
            "Its source text takes the place of the user's message.",
            "Leave --chat out, and give --source.",
        )
    check_choices(options)
    if options.bos == "off":
        raise UsageError(
            "--bos off means nothing to an encoder–decoder model.",
            "Its decoder always begins with a token of its own.",
            "Leave --bos out.",
        )
    return source


def load_pair_module(directory: Path, options: ModelOptions, configuration: Any = None) -> Any:
    """The module on its device, all weights found in the directory, and finite.

    Args:
        directory: As ``save_pretrained`` writes it.
        options: How to open it.
        configuration: Taken in place of the directory's own: the same shape with another dropout.

    Raises:
        ModelError: As ``load_encoder_decoder``.
    """
    dtype = dtype_of(options)
    fields = read_config_fields(directory)
    if fields.get("quantization_config"):
        raise ModelError(
            f"The weights in {directory} are quantized.",
            "They would be computed in a way that was not checked against plain weights.",
            "Dequantize the model and save it again with save_pretrained.",
        )
    check_weights(directory, allow_pickle=options.allow_pickle)
    config = read_configuration(directory) if configuration is None else configuration
    try:
        with quiet(), torch.random.fork_rng(devices=[]):  # no weight is drawn that stays
            module, found = AutoModelForSeq2SeqLM.from_pretrained(
                directory,
                config=config,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=None if options.allow_pickle else True,
                output_loading_info=True,
            )
    except Exception as error:  # from_pretrained raises whatever its many parts raise
        raise ModelError(
            f"The model in {directory} cannot be loaded.",
            f"{_first_line(error)}.",
            "Check that transformers loads it: AutoModelForSeq2SeqLM.from_pretrained(DIRECTORY).",
        ) from error
    check_complete(module, found, directory)
    check_finite_weights(module, directory)
    placed: nn.Module = on_device(module, options.device)
    return placed


def load_pair_tokenizer(directory: Path) -> Any:
    """The tokenizer, of whatever kind.

    Raises:
        ModelError: It cannot be read.
    """
    try:
        with quiet(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
            return AutoTokenizer.from_pretrained(
                directory, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ModelError(
            f"The tokenizer in {directory} cannot be read.",
            f"{_first_line(error)}.",
            "Copy all files of the tokenizer of that training into the directory.",
        ) from error


def sides(tokenizer: Any) -> tuple[TokenView, SourceEncoder]:
    """The view of targets, and the function that writes sources.

    Raises:
        ModelError: The tokenizer is of a kind that cannot be audited.
    """

    def encode_source(texts: Sequence[str]) -> list[list[int]]:
        try:
            with quiet():
                ids: list[list[int]] = tokenizer(list(texts))["input_ids"]
        except Exception as error:  # the tokenizers library raises bare Exception
            raise ModelError(
                "A source has a character that the tokenizer lacks.",
                f"{_first_line(error)}.",
                "Give a source in the characters of the training's sources, or train with a bpe tokenizer.",
            ) from error
        return ids

    if isinstance(tokenizer, PreTrainedTokenizerFast):
        return FastTokenizerView(tokenizer), encode_source
    if hasattr(tokenizer, "spm_target"):  # Marian: two SentencePiece models, one vocabulary or two
        vocabulary = tokenizer.encoder
        if tokenizer.separate_vocabs:
            vocabulary = tokenizer.target_encoder
        special = set(tokenizer.all_special_tokens)
        return SentencePieceView(tokenizer.spm_target, vocabulary, special), encode_source
    raise ModelError(
        f"Tokenizers of the kind {type(tokenizer).__name__} cannot be audited.",
        "It is neither a fast tokenizer nor Marian's pair of SentencePiece models.",
        "Convert it to a fast tokenizer and save it again.",
    )


def _check_same(tokenizer: Any, view: TokenView) -> None:
    """Refuse a view that does not write targets as the tokenizer itself does."""
    with quiet():
        own = tokenizer(text_target=list(_PROBES), add_special_tokens=False)["input_ids"]
    if [list(ids) for ids in own] != view.encode(_PROBES):
        raise ModelError(
            "The tokenizer writes targets in a way that is not understood.",
            "Its own tokens of a text are not those that its description gives.",
            "Convert it to a fast tokenizer and save it again.",
        )


def _framing(module: Any, tokenizer: Any, close: bool) -> Framing:
    """What the decoder reads before a target, and what ends one; its first token is the one that training gives it."""
    before, after = _around(tokenizer)
    try:
        labels = torch.tensor([[*before, *after]], device=module.device)
        start = int(module.prepare_decoder_input_ids_from_labels(labels=labels)[0, 0])
    except (AttributeError, ValueError, TypeError) as error:
        raise ModelError(
            "The model does not say which token its decoder begins with.",
            f"{_first_line(error)}.",
            "Put the token of the training into config.json (decoder_start_token_id).",
        ) from error
    forced = getattr(module.config, "forced_bos_token_id", None)
    if not before and isinstance(forced, int):
        before = (forced,)
    return Framing(before=(start, *before), after=after if close else ())


def _around(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special tokens that the tokenizer puts before and after a target, whatever the target is."""
    found = set()
    for probe in _PROBES:
        with quiet():
            framed = list(tokenizer(text_target=probe)["input_ids"])
            plain = list(tokenizer(text_target=probe, add_special_tokens=False)["input_ids"])
        places = [
            place
            for place in range(len(framed) - len(plain) + 1)
            if framed[place : place + len(plain)] == plain
        ]
        if plain and places:
            found.add((tuple(framed[: places[0]]), tuple(framed[places[0] + len(plain) :])))
    if len(found) != 1 or not next(iter(found))[1]:
        raise ModelError(
            "The tokenizer does not say how a target ends.",
            "It puts no token after a target that says so, or different tokens around different targets.",
            "Use the tokenizer that the model was trained with.",
        )
    return next(iter(found))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".:")
