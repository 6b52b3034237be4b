"""The dialects in which servers tell prompt log-probabilities.

A *prompt* is a sequence of tokens, with or without a question about the token after it; a *reading* is what the server says of it:

    log_p[i]        ln p(token i | tokens 0 … i−1), i ≥ 1          ("prompt" log-probabilities; entry 0 is never told)
    following[t]    ln p(t | all tokens of the prompt)             for the tokens asked about, or the k likeliest

vllm     ``/completions``: token ids go in (``prompt: [[ids], …]``), ``prompt_logprobs: 0`` gives the actual tokens only, keyed by id;
         ``logprobs: k`` lists the next tokens, ``logprob_token_ids`` chooses them (newer versions).
echo     ``/completions`` with ``echo`` and ``logprobs``: texts go in, tokens come back as texts (llama-cpp-python and others).
sglang   ``/generate``: ids go in, ``logprob_start_len: 0`` gives all, ``token_ids_logprob`` chooses tokens at every place.

``max_tokens`` is always 1 (0 means "no limit" to llama-cpp-python) and what was generated is dropped. The temperature is 1 except where the
handshake changes it to see that nothing depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from secretaudit.models.server.answers import WrongAnswer, entry, log_probability, whole_number
from secretaudit.models.server.client import Post
from secretaudit.models.server.text import TokenTexts


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Tokens, and what is asked about the token after them.

    Attributes:
        tokens: Token ids, at least one.
        wanted: Next tokens to be priced.
        listed: Whether the likeliest next tokens are to be listed. Without ``wanted`` and ``listed``, the prompt's own tokens are priced.
    """

    tokens: tuple[int, ...]
    wanted: tuple[int, ...] = ()
    listed: bool = False

    @property
    def kind(self) -> tuple[object, ...]:
        """Prompts of the same kind may travel in one request."""
        return self.wanted, self.listed


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What a server says of one prompt, in nats.

    Attributes:
        log_p: float64 (n,): of each token given those before it; NaN where it is not told. Empty when next tokens were asked for.
        following: Of next tokens.
    """

    log_p: NDArray[np.float64]
    following: dict[int, float]


NOT_ASKED: NDArray[np.float64] = np.empty(0)


class Dialect(Protocol):
    """How to ask a server and read what it answers."""

    name: str
    #: Prompts that one request may carry.
    batch: int
    #: Whether prompts' own tokens are priced at all.
    tells_prompts: bool
    #: Most next tokens that one request may choose; 0 where they cannot be chosen.
    chooses: int
    #: How many of the likeliest next tokens are listed; 0 where none are.
    lists: int

    def post(self, prompts: Sequence[Prompt], temperature: float) -> Post:
        """The request for some prompts of one kind."""

    def readings(self, answer: object, prompts: Sequence[Prompt]) -> list[Reading]:
        """What the answer says of each prompt.

        Raises:
            WrongAnswer: Something is missing, or belongs to other tokens.
        """

    def text_post(self, text: str) -> Post | None:
        """A request that shows how the server tokenizes a text; ``None`` where every answer shows it, or none does."""

    def text_tokens(self, answer: object) -> list[int]:
        """The token ids in the answer to ``text_post``.

        Raises:
            WrongAnswer: It holds none.
        """


def choices_in_order(answer: object, count: int) -> list[object]:
    """The choices of a completions answer, one per prompt.

    Raises:
        WrongAnswer: Their number is not the number of prompts.
    """
    choices = entry(answer, "choices", list)
    if len(choices) != count:
        raise WrongAnswer(f"it holds {len(choices)} choices for {count} prompts")
    if count == 1:
        return choices
    return sorted(choices, key=lambda choice: entry(choice, "index", int))


class VllmDialect:
    """vLLM's completions: token ids in, log-probabilities keyed by token id out.

    Args:
        model: Name of the model on the server.
        lists: Likeliest next tokens to ask for.
        chooses: Next tokens that may be chosen in one request (``logprob_token_ids``).
    """

    name = "vllm"
    batch = 64
    tells_prompts = True

    def __init__(self, model: str, *, lists: int = 0, chooses: int = 0) -> None:
        self.model = model
        self.lists = lists
        self.chooses = chooses

    def post(self, prompts: Sequence[Prompt], temperature: float) -> Post:
        """The request for some prompts of one kind."""
        first = prompts[0]
        body: dict[str, object] = {
            "model": self.model,
            "prompt": [list(prompt.tokens) for prompt in prompts],
            "max_tokens": 1,
            "temperature": temperature,
        }
        if first.wanted or first.listed:
            body["return_tokens_as_token_ids"] = True
            body["logprobs"] = self.lists if first.listed else 1
            if first.wanted:
                body["logprob_token_ids"] = list(first.wanted)
        else:
            body["prompt_logprobs"] = 0
        return Post(path="/completions", body=body)

    def readings(self, answer: object, prompts: Sequence[Prompt]) -> list[Reading]:
        """What the answer says of each prompt."""
        choices = choices_in_order(answer, len(prompts))
        return [
            self._following(choice, prompt)
            if prompt.wanted or prompt.listed
            else Reading(log_p=_keyed_by_id(choice, prompt.tokens), following={})
            for choice, prompt in zip(choices, prompts, strict=True)
        ]

    def _following(self, choice: object, prompt: Prompt) -> Reading:
        table = entry(entry(entry(choice, "logprobs", dict), "top_logprobs", list), 0, dict)
        following: dict[int, float] = {}
        for key, value in table.items():
            if not key.startswith("token_id:"):
                raise WrongAnswer("next tokens are named by their text and not by their id")
            token = int(key.removeprefix("token_id:"))
            if not prompt.wanted or token in prompt.wanted:
                following[token] = log_probability(value)
        check_all_told(prompt, following)
        return Reading(log_p=NOT_ASKED, following=following)

    def text_post(self, text: str) -> Post:
        """A request that shows how the server tokenizes a text."""
        body: dict[str, object] = {
            "model": self.model,
            "prompt": text,
            "max_tokens": 1,
            "prompt_logprobs": 0,
            "add_special_tokens": False,
            "return_token_ids": True,
        }
        return Post(path="/completions", body=body)

    def text_tokens(self, answer: object) -> list[int]:
        """The token ids in the answer to ``text_post``."""
        (choice,) = choices_in_order(answer, 1)
        return [whole_number(token) for token in entry(choice, "prompt_token_ids", list)]


def _keyed_by_id(choice: object, tokens: Sequence[int]) -> NDArray[np.float64]:
    """vLLM's ``prompt_logprobs``: null for the first token, then one object per token, keyed by its id."""
    told = entry(choice, "prompt_logprobs", list)
    if len(told) != len(tokens):
        raise WrongAnswer(f"it prices {len(told)} tokens where {len(tokens)} were sent")
    log_p = np.full(len(tokens), np.nan)
    for place in range(1, len(tokens)):
        actual = entry(entry(told, place, dict), str(tokens[place]), dict)
        log_p[place] = log_probability(actual.get("logprob"))
    return log_p


def check_all_told(prompt: Prompt, following: dict[int, float]) -> None:
    """Refuse an answer that leaves out a token that was asked for.

    Raises:
        WrongAnswer: One is missing.
    """
    missing = [token for token in prompt.wanted if token not in following]
    if missing:
        raise WrongAnswer(f"{len(missing)} of {len(prompt.wanted)} chosen next tokens are missing")


class EchoDialect:
    """Completions that echo the prompt with its log-probabilities: texts in, texts out.

    Args:
        model: Name of the model on the server.
        texts: Our tokens as texts; ``texts.before`` are tokens that the server adds and shows.
        lists: Likeliest next tokens to ask for.
        batch: Prompts that one request may carry; llama-cpp-python takes one.
    """

    name = "echo"
    tells_prompts = True
    chooses = 0

    def __init__(self, model: str, texts: TokenTexts, *, lists: int = 0, batch: int = 1) -> None:
        self.model = model
        self.texts = texts
        self.lists = lists
        self.batch = batch

    def post(self, prompts: Sequence[Prompt], temperature: float) -> Post:
        """The request for some prompts of one kind."""
        texts = [self.texts.text(prompt.tokens) for prompt in prompts]
        body: dict[str, object] = {
            "model": self.model,
            "prompt": texts[0] if len(texts) == 1 else texts,
            "max_tokens": 1,
            "temperature": temperature,
            "echo": True,
            "logprobs": max(1, self.lists) if prompts[0].listed else 1,
        }
        return Post(path="/completions", body=body)

    def readings(self, answer: object, prompts: Sequence[Prompt]) -> list[Reading]:
        """What the answer says of each prompt."""
        choices = choices_in_order(answer, len(prompts))
        return [self._reading(c, p) for c, p in zip(choices, prompts, strict=True)]

    def _reading(self, choice: object, prompt: Prompt) -> Reading:
        told = entry(choice, "logprobs", dict)
        count = len(prompt.tokens)
        self.texts.check(prompt.tokens, entry(told, "tokens", list))
        if prompt.listed:
            tables = entry(told, "top_logprobs", list)
            if len(tables) == count:  # an end-of-text token was drawn, and the list went with it
                return Reading(log_p=NOT_ASKED, following={})
            table = entry(tables, count, dict)
            known = self.texts.by_text
            following = {known[t]: log_probability(v) for t, v in table.items() if t in known}
            return Reading(log_p=NOT_ASKED, following=following)
        values = entry(told, "token_logprobs", list)
        if len(values) < count:
            raise WrongAnswer(f"it prices {len(values)} tokens where {count} were read")
        log_p = np.full(count, np.nan)
        for place in range(1, count):
            log_p[place] = log_probability(values[place])
        return Reading(log_p=log_p, following={})

    def text_post(self, text: str) -> None:
        """Nothing: every answer shows the server's tokens."""

    def text_tokens(self, answer: object) -> list[int]:  # noqa: ARG002 # nothing was asked
        """Not asked for."""
        raise WrongAnswer("it shows texts and not ids")
