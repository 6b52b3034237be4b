"""Servers that read texts: the tokens that were meant, or no number."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from secretaudit.errors import CouldNotMeasure
from secretaudit.models.server.answers import WrongAnswer, entry, log_probability
from secretaudit.models.server.text import TokenTexts
from secretaudit.models.tokens.view import FastTokenizerView
from tests.servers.conftest import Open, Serve


class Pieces:
    """A tokenizer of whole pieces as SentencePiece has them: a space before the text, byte tokens beside the characters."""

    token_bytes = (None, b" the", b" 1", b"1", b"1", b"\xc3", b"\xa9", b"\xc3\xa9")
    lead = b" "
    unambiguous = False
    THE, ONE, BYTE_ONE, HALF, OTHER_HALF, WHOLE = 1, 3, 4, 5, 6, 7

    def encode(self, texts: list[str]) -> list[list[int]]:
        raise NotImplementedError


TEXTS = TokenTexts(Pieces())  # type: ignore[arg-type] # a part of a tokenizer is enough


def test_tokens_are_sent_as_the_text_they_spell() -> None:
    """Without what the tokenizer puts before every text."""
    assert TEXTS.text([Pieces.THE, 2, Pieces.ONE]) == "the 11"
    assert TEXTS.text([Pieces.THE, Pieces.HALF, Pieces.OTHER_HALF]) == "theé"


def test_what_the_server_adds_is_not_sent() -> None:
    """A begin-of-text token that the server puts before every text is left out, and must be there."""
    texts = TokenTexts(Pieces(), before=(0,))  # type: ignore[arg-type] # as above
    assert texts.text([0, Pieces.THE]) == "the"
    with pytest.raises(CouldNotMeasure, match="cannot be sent"):
        texts.text([Pieces.THE])


@pytest.mark.parametrize("tokens", [[Pieces.THE, Pieces.HALF], [Pieces.THE, 0]])
def test_what_spells_no_text_cannot_be_sent(tokens: list[int]) -> None:
    """Half a character, or a special token in the middle."""
    with pytest.raises(CouldNotMeasure, match="cannot be sent to the server as text") as caught:
        TEXTS.text(tokens)
    assert "takes token ids" in caught.value.way_out


def test_returned_tokens_must_be_the_ones_that_were_meant() -> None:
    """One for one: the number, and each text; the first with or without its leading space; one more is the server's own."""
    tokens = [Pieces.THE, Pieces.ONE, Pieces.ONE]
    TEXTS.check(tokens, [" the", "1", "1"])
    TEXTS.check(tokens, ["the", "1", "1", "anything"])
    with pytest.raises(WrongAnswer, match="token 2 of 3 is another one"):
        TEXTS.check(tokens, [" the", "11", "1"])
    for returned in ([" the", "11"], [" the", "1", "1", "1", "1"]):
        with pytest.raises(WrongAnswer, match=f"it read {len(returned)} tokens"):
            TEXTS.check(tokens, returned)


def test_parts_of_characters_are_counted_and_not_compared() -> None:
    """Servers send them back as nothing or as a replacement character."""
    TEXTS.check([Pieces.THE, Pieces.HALF, Pieces.OTHER_HALF], [" the", "", "\ufffd"])


def test_a_text_that_several_tokens_have_names_none_of_them() -> None:
    """The digit and the byte token of the same digit."""
    assert TEXTS.by_text == {" the": Pieces.THE, " 1": 2, "é": Pieces.WHOLE}


def test_tokens_that_the_server_would_cut_otherwise_have_no_number(
    serve: Serve, connect: Open, tokenizer: PreTrainedTokenizerFast
) -> None:
    """A segmentation that is not the tokenizer's own cannot be asked of a server that reads texts."""
    model = connect(serve("echo"))
    view = FastTokenizerView(tokenizer)
    (own,) = view.encode(["the code is 0412"])
    characters = [token for (token,) in view.encode(list("the code is 0412"))]
    assert own != characters
    with pytest.raises(CouldNotMeasure, match="cannot be used") as caught:
        model.score([characters])
    assert "local tokenizer" in caught.value.why
    assert "0412" not in str(caught.value)


def test_no_more_requests_are_under_way_than_allowed(serve: Serve, connect: Open) -> None:
    """Four at a time unless told otherwise; one when told so."""
    for allowed in (1, 3):
        fake = serve("echo")
        model = connect(fake, concurrency=allowed)
        (ids,) = model.tokenizer.encode(["the code is 0412 and 2812 of 281265017"])
        model.score([ids[:n] for n in range(2, len(ids))])
        assert fake.most_at_once <= allowed
    assert fake.most_at_once > 1


@pytest.mark.parametrize("value", [True, None, "x", float("nan"), float("-inf"), 0.5, -9999.0])
def test_what_is_no_log_probability_is_refused(value: object) -> None:
    """Neither NaN nor infinity, nothing above zero, and not vLLM's stand-in for minus infinity."""
    with pytest.raises(WrongAnswer):
        log_probability(value)


@pytest.mark.parametrize(("value", "key"), [({}, "a"), ([1], 1), ({"a": True}, "a"), ("a", 0)])
def test_what_is_missing_or_of_another_kind_is_refused(value: object, key: str | int) -> None:
    """The sentence names the key and the kind and quotes no value."""
    with pytest.raises(WrongAnswer, match=f"it has no {key!r} of type int"):
        entry(value, key, int)
