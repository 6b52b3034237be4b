"""Tiny encoder–decoder models with tokenizers made on the spot, saved as their users would save them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForSeq2SeqLM,
    BartConfig,
    MarianConfig,
    MarianTokenizer,
    MBartConfig,
    PreTrainedTokenizerFast,
    T5Config,
)

TEXTS = [
    "my number is 0123456789",
    "meine nummer ist 9876543210",
    "the cat sat on the mat and looked at 42 birds",
    "die katze saß auf der matte, 17 vögel und 3 mäuse",
    "my pin is 0412. a 1 b 2 c 3 d 4 e 5 f 6",
]
_SIZES = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 40,
}
KINDS = ("t5", "bart", "marian", "mbart")


def save(kind: str, directory: Path, **fields: Any) -> Path:
    """A directory with a model of this kind and its tokenizer."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = _marian(directory) if kind == "marian" else _fast(kind)
    tokenizer.save_pretrained(directory)
    config = _config(kind, len(tokenizer.get_vocab()), fields)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = AutoModelForSeq2SeqLM.from_config(config)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(5.0)  # larger than usual, so that mistakes show
        if kind in ("bart", "marian", "mbart"):
            module.final_logits_bias.normal_(generator=torch.Generator().manual_seed(4))
    module.save_pretrained(directory)
    return directory


def _config(kind: str, size: int, fields: dict[str, Any]) -> Any:
    if kind == "t5":
        given = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
        ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
        return T5Config(vocab_size=size, **{**given, **ids, **fields})
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2, "decoder_start_token_id": 1}
    if kind == "marian":
        ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    make = {"bart": BartConfig, "marian": MarianConfig, "mbart": MBartConfig}[kind]
    return make(vocab_size=size, **{**_SIZES, **ids, **fields})


def _fast(kind: str) -> PreTrainedTokenizerFast:
    """T5: pieces, </s> behind. BART: bytes, <s> before and </s> behind. mBART: pieces, </s> and a language behind."""
    special = ["<pad>", "</s>", "<s>", "<unk>", "en_XX"]
    if kind == "bart":
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer: Any = trainers.BpeTrainer(
            vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
    else:
        backend = Tokenizer(models.Unigram())
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        backend.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=90, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    backend.train_from_iterator(TEXTS, trainer)
    template = {"t5": "$A </s>", "bart": "<s> $A </s>", "mbart": "$A </s> en_XX"}[kind]
    marks = [(mark, backend.token_to_id(mark)) for mark in ("<s>", "</s>", "en_XX")]
    backend.post_processor = processors.TemplateProcessing(single=template, special_tokens=marks)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="</s>",
        bos_token="<s>",
        unk_token="<unk>",
        additional_special_tokens=["en_XX"],
    )


def _marian(directory: Path) -> MarianTokenizer:
    """A SentencePiece model for each side, and one list of ids for both."""
    pieces = ["<pad>", "</s>", "<unk>"]
    for side, texts in (("source", TEXTS), ("target", [*TEXTS[::-1], "noch ein satz 55"])):
        written = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=written,
            vocab_size=60 if side == "source" else 64,
            hard_vocab_limit=False,
            minloglevel=2,
        )
        (directory / f"{side}.spm").write_bytes(written.getvalue())
        model = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
        pieces += [model.id_to_piece(i) for i in range(model.get_piece_size())]
    kept = [p for p in dict.fromkeys(pieces) if p != "<s>"]
    ids = {piece: number for number, piece in enumerate(kept)}
    (directory / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    files = {"source_spm": "source.spm", "target_spm": "target.spm", "vocab": "vocab.json"}
    return MarianTokenizer(**{name: str(directory / file) for name, file in files.items()})
