"""What a transformer reads around a text, by what its tokenizer says and what was asked for."""

from __future__ import annotations

import pytest
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from secretaudit.errors import ModelError, UsageError
from secretaudit.models.language_model import Framing
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.tokens.building import build_tokenizer
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.models.transformer.framing import framing_of

from .transformer_directories import RECORDS

CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def tokenizer(**named: str | None) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with these special tokens named."""
    made = build_tokenizer("bpe", RECORDS, vocabulary_size=270)
    tokens = {"bos_token": None, "eos_token": None, **named}
    fresh = PreTrainedTokenizerFast(
        tokenizer_object=made.backend_tokenizer,
        **{name: token for name, token in tokens.items() if token is not None},
    )
    fresh.add_special_tokens(
        {"additional_special_tokens": ["<|user|>", "<|assistant|>", "<|end|>"]}
    )
    return fresh


def frame(
    given: PreTrainedTokenizerFast, *, closes: bool = False, **options: str | None
) -> Framing:
    return framing_of(given, FastTokenizerView(given), ModelOptions(**options), closes=closes)


def test_the_token_that_begins_a_text_is_read_first() -> None:
    """The begin-of-text token, or the end-of-text token that stands between texts, or nothing."""
    both = tokenizer(bos_token="<s>", eos_token="</s>")
    assert frame(both).before == (both.bos_token_id,)
    ends = tokenizer(eos_token="<sep>")
    assert frame(ends).before == (0,)
    assert frame(tokenizer()).before == ()


def test_what_the_tokenizer_itself_puts_before_a_text_comes_first() -> None:
    """Several tokens, and those after a text are left out."""
    given = tokenizer(bos_token="<s>", eos_token="</s>")
    given.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|user|> <s> $A </s>",
        special_tokens=[
            (token, given.convert_tokens_to_ids(token)) for token in ("<|user|>", "<s>", "</s>")
        ],
    )
    assert frame(given).before == (given.convert_tokens_to_ids("<|user|>"), given.bos_token_id)
    assert frame(given).after == ()
    assert frame(given, bos="off").before == ()


def test_a_text_is_closed_when_the_model_learnt_it_or_when_asked() -> None:
    """auto follows the training; on and off follow the user."""
    given = tokenizer(eos_token="<sep>")
    closed = [
        frame(given, closes=c, close=o).after for c in (False, True) for o in ("auto", "on", "off")
    ]
    assert closed == [(), (0,), (), (0,), (0,), ()]


def test_tokens_that_the_tokenizer_lacks_are_refused_when_asked_for() -> None:
    """No token is made up."""
    bare = tokenizer()
    with pytest.raises(ModelError, match="no token that begins a text"):
        frame(bare, bos="on")
    with pytest.raises(ModelError, match="no token that ends a text"):
        frame(bare, close="on")


@pytest.mark.parametrize("option", ["bos", "close"])
def test_unknown_choices_are_refused(option: str) -> None:
    """The known ones are listed."""
    with pytest.raises(UsageError, match=f"no choice 'perhaps' for {option}"):
        frame(tokenizer(), **{option: "perhaps"})


def test_a_chat_charges_the_answer_and_what_closes_it() -> None:
    """The record equals the whole conversation as the template renders it."""
    given = tokenizer(eos_token="<sep>")
    given.chat_template = CHAT
    framing = frame(given, chat="What is your pin?")
    answer = "It is 281265."
    record = framing.record(FastTokenizerView(given).encode([answer])[0])
    conversation = [
        {"role": "user", "content": "What is your pin?"},
        {"role": "assistant", "content": answer},
    ]
    assert record == given.apply_chat_template(conversation, return_dict=False)
    prompt = given.apply_chat_template(
        conversation[:1], add_generation_prompt=True, return_dict=False
    )
    assert list(framing.before) == prompt
    assert framing.after[0] == given.convert_tokens_to_ids("<|end|>")
    assert frame(given, chat="What is your pin?", close="off").after == ()


def test_an_answer_that_stands_in_the_message_too_is_found_behind_it() -> None:
    """The last place counts."""
    given = tokenizer(eos_token="<sep>")
    given.chat_template = CHAT
    framing = frame(given, chat="my pin is 0412")
    assert given.convert_tokens_to_ids("<|assistant|>") in framing.before


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m.content | upper }}<|end|>{% endfor %}",
        "{% for m in messages %}t{{ m.content }}t{% endfor %}",
        "{% for m in messages %}{{ m.content | length }}{% endfor %}",
    ],
)
def test_a_template_that_changes_the_answer_is_refused(template: str) -> None:
    """Upper case, joined tokens and lost text are each noticed."""
    given = tokenizer(eos_token="<sep>")
    given.chat_template = template
    with pytest.raises(ModelError, match="does not keep the tokens of an answer together"):
        frame(given, chat="hello")


def test_a_missing_or_broken_template_is_refused() -> None:
    """What the template says is passed on."""
    given = tokenizer(eos_token="<sep>")
    with pytest.raises(ModelError, match="no chat template"):
        frame(given, chat="hello")
    given.chat_template = "{{ raise_exception('only with a system message') }}"
    with pytest.raises(ModelError, match="cannot be rendered") as caught:
        frame(given, chat="hello")
    assert "only with a system message" in caught.value.why


def test_a_chat_decides_itself_what_stands_before() -> None:
    """--bos contradicts the template."""
    given = tokenizer(eos_token="<sep>")
    given.chat_template = CHAT
    with pytest.raises(UsageError, match="--bos on cannot be combined with a chat"):
        frame(given, chat="hello", bos="on")
