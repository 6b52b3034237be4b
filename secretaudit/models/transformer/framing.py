"""What a transformer reads around a text: its begin-of-text and end-of-text tokens, or a chat template.

*Before.* A tokenizer says itself what it puts before a text (Llama's ``<s>``). Where it puts nothing, the begin-of-text token
serves, or the end-of-text token, which stands between the texts of training (GPT-2's ``<|endoftext|>``): the first token of the
text can then be charged. Nothing that stands before is charged.

*After.* A text is closed, and its end charged, when the model was trained so and that is known, or when it is asked for.

*Chat.* The text is the assistant's answer to a user's message. With r(t) the tokens of the rendered conversation with answer t,
``before`` and ``after`` are what stands around the tokens of t in r(t), which must be the same for all t; some hundred are tried.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerFast

from secretaudit.errors import ModelError, UsageError
from secretaudit.models.language_model import Framing, TokenView
from secretaudit.models.model_options import ModelOptions

#: Ordinary texts that tokenizers are tried with.
PROBES = ("my pin is 0412", "281265017", "The number: 4.", "a", "Zürich, x@y.org")
#: Answers that a chat template is tried with: they begin and end with every letter, digit and sign.
_ANSWERS = (
    *PROBES,
    *(f"{c}4 2{c}" for c in string.ascii_letters + string.digits + string.punctuation),
)


def framing_of(
    tokenizer: PreTrainedTokenizerFast, view: TokenView, options: ModelOptions, *, closes: bool
) -> Framing:
    """The framing of a model's texts.

    Args:
        tokenizer: The tokenizer.
        view: What encodes texts.
        options: ``bos``, ``close`` and ``chat``.
        closes: Whether the model is known to have been trained with an end-of-text token after each text.

    Raises:
        UsageError: An option has a value that is not known, or contradicts another.
        ModelError: The tokenizer lacks the token that is asked for, or a usable chat template.
    """
    _check_choice("bos", options.bos)
    _check_choice("close", options.close)
    if options.chat is not None:
        return _chat_framing(tokenizer, view, options)
    wanted = options.close == "on" or (options.close == "auto" and closes)
    return Framing(
        before=_before(tokenizer, options.bos), after=(_end(tokenizer),) if wanted else ()
    )


def _check_choice(name: str, value: str) -> None:
    if value not in ("auto", "on", "off"):
        raise UsageError(
            f"There is no choice {value!r} for {name}.",
            "Known choices are auto, on and off.",
            "Choose one of them.",
        )


def _before(tokenizer: PreTrainedTokenizerFast, bos: str) -> tuple[int, ...]:
    """Tokens read before a text."""
    if bos == "off":
        return ()
    added = _added_before(tokenizer)
    if added:
        return added
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if isinstance(token, int):
            return (token,)
    if bos == "on":
        raise ModelError(
            "The tokenizer has no token that begins a text.",
            "It has neither a begin-of-text nor an end-of-text token.",
            "Leave --bos out, or name the token in tokenizer_config.json (bos_token).",
        )
    return ()


def _added_before(tokenizer: PreTrainedTokenizerFast) -> tuple[int, ...]:
    """Tokens that the tokenizer itself puts before a text."""
    backend = tokenizer.backend_tokenizer
    if not backend.num_special_tokens_to_add(False):
        return ()
    for probe in PROBES:
        plain = backend.encode(probe, add_special_tokens=False).ids
        framed = backend.encode(probe, add_special_tokens=True).ids
        place = _find(framed, plain)
        if plain and place is not None:
            return tuple(framed[:place])
    return ()


def _end(tokenizer: PreTrainedTokenizerFast) -> int:
    """The end-of-text token."""
    token = tokenizer.eos_token_id
    if isinstance(token, int):
        return token
    raise ModelError(
        "The tokenizer has no token that ends a text.",
        "Its configuration names no eos_token.",
        "Leave --close out, or name the token in tokenizer_config.json (eos_token).",
    )


def _chat_framing(
    tokenizer: PreTrainedTokenizerFast, view: TokenView, options: ModelOptions
) -> Framing:
    """What the chat template puts around the assistant's text."""
    if options.bos != "auto":
        raise UsageError(
            f"--bos {options.bos} cannot be combined with a chat.",
            "The chat template decides what stands before the text.",
            "Leave --bos out.",
        )
    if not tokenizer.chat_template:
        raise ModelError(
            "The tokenizer has no chat template.",
            "Only models that were trained on conversations bring one.",
            "Leave --chat out, or use the tokenizer of the chat model.",
        )
    encoded = view.encode(_ANSWERS)
    rendered = [_render(tokenizer, str(options.chat), answer) for answer in _ANSWERS]
    place = _find_last(rendered[0], encoded[0])
    if place is not None:
        before = rendered[0][:place]
        after = rendered[0][place + len(encoded[0]) :]
        if all(r == [*before, *ids, *after] for r, ids in zip(rendered, encoded, strict=True)):
            closed = () if options.close == "off" else tuple(after)
            return Framing(before=tuple(before), after=closed)
    raise ModelError(
        "The chat template does not keep the tokens of an answer together.",
        "It changes the text, or the tokenizer joins it with what stands around it.",
        "Leave --chat out and put the conversation into the prefix of the format.",
    )


def _render(tokenizer: PreTrainedTokenizerFast, message: str, answer: str) -> list[int]:
    """Tokens of a conversation of one message and one answer."""
    conversation = [
        {"role": "user", "content": message},
        {"role": "assistant", "content": answer},
    ]
    try:
        rendered: Any = tokenizer.apply_chat_template(
            conversation, tokenize=True, return_dict=False
        )
    except Exception as error:  # templates are programs of the model's makers
        raise ModelError(
            "The chat template cannot be rendered.",
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(
                ": "
            ),
            "Leave --chat out and put the conversation into the prefix of the format.",
        ) from error
    return [int(token) for token in rendered]


def _find(whole: Sequence[int], part: Sequence[int]) -> int | None:
    """The first place where a part stands."""
    for place in range(len(whole) - len(part) + 1):
        if list(whole[place : place + len(part)]) == list(part):
            return place
    return None


def _find_last(whole: Sequence[int], part: Sequence[int]) -> int | None:
    """The last place where a part stands."""
    place = _find(whole[::-1], part[::-1])
    return None if place is None else len(whole) - len(part) - place
