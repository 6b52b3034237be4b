"""Servers that list the k likeliest next tokens and nothing else: bounds instead of numbers.

Of a token that is not listed only two things are known. It is no likelier than the least likely one of the list, nor than what the list leaves over:

    0  ≤  p(t)  ≤  min( p_k, 1 − Σ_listed p )

so the same answers have two readings: *optimistic* gives every unlisted token its largest possible probability (cost too low, never too
high), *pessimistic* gives it none (cost infinite). The rank of a canary c then lies between

    #{s : pessimistic(s) ≤ optimistic(c)}     and     #{s : optimistic(s) ≤ pessimistic(c)}

and a gate uses the end that is worse for the canary. ``TopKServerModel`` itself gives a number only where the server lists what is needed.

Two ways to ask: ``/completions`` with ``logprobs`` (ids or texts in, texts out), and llama-server's own ``/completion`` with ``n_probs`` (ids in,
ids out).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

from secretaudit.models.server.answers import WrongAnswer, entry, log_probability, whole_number
from secretaudit.models.server.client import Post
from secretaudit.models.server.dialects import (
    NOT_ASKED,
    Dialect,
    Prompt,
    Reading,
    choices_in_order,
)
from secretaudit.models.server.text import TokenTexts

#: Stand, in ``Reading.following``, for the tokens that are not listed: those with a text of their own, and those whose text several tokens
#: share. The value is the largest log-probability that such a token can have.
OTHERS, SHARING = -1, -2
#: Sampling that takes every token for about as likely.
_FREELY = {"temperature": 100.0, "top_p": 1.0, "min_p": 0.0, "top_k": 0}
#: What float32 rounding may hide in a sum of probabilities.
_SLACK = 1e-6


def bounded(named: dict[int, float], unnamed: Iterable[float]) -> Reading:
    """A reading of a list, with what the tokens outside it can have at most.

    A text that several tokens share may stand for any of them, and for more than one: where answers are keyed by text, the later overwrites the
    earlier. So of those tokens no more is known than what the known ones leave over.

    Args:
        named: ln p of the listed tokens that are known.
        unnamed: ln p of listed texts that may belong to several tokens.

    Raises:
        WrongAnswer: The listed probabilities add up to more than one.
    """
    doubtful = list(unnamed)
    listed = [*named.values(), *doubtful]
    if not listed:
        raise WrongAnswer("it lists no next tokens")
    total = math.fsum(map(math.exp, listed))
    if total > 1.0 + 1e-3:
        raise WrongAnswer(f"the listed probabilities add up to {total:.4g}, which is more than 1")
    others = min(min(listed), _left(listed))
    sharing = _left(named.values()) if doubtful else others
    return Reading(log_p=NOT_ASKED, following={**named, OTHERS: others, SHARING: sharing})


def _left(listed: Iterable[float]) -> float:
    """ln of what these probabilities leave over."""
    return math.log(max(0.0, 1.0 - math.fsum(map(math.exp, listed))) + _SLACK)


class BoundingDialect(Dialect, Protocol):
    """A dialect that lists next tokens and nothing else."""

    def others(self, token: int) -> int:
        """Which entry of a reading bounds this token where it is not listed."""


class ListingDialect:
    """``/completions`` with ``logprobs``: the likeliest next tokens, by text.

    Args:
        model: Name of the model on the server.
        texts: Our tokens as texts.
        lists: Next tokens to ask for.
        takes_ids: Whether the server takes token ids; texts are sent otherwise.
        unseen: Tokens that the server reads before a text without showing them (its own begin-of-text token): 0 or 1.
        freely: Draw the token that comes with the list from a flat distribution: where an end-of-text token is drawn, some servers send no list.
    """

    name = "top-k"
    batch = 1
    tells_prompts = False
    chooses = 0

    def __init__(
        self,
        model: str,
        texts: TokenTexts,
        *,
        lists: int,
        takes_ids: bool,
        unseen: int = 0,
        freely: bool = False,
    ) -> None:
        self.model = model
        self.texts = texts
        self.lists = lists
        self.unseen = unseen
        self._takes_ids = takes_ids
        self._drawing: dict[str, object] = dict(_FREELY) if freely else {}

    def others(self, token: int) -> int:
        """Which entry of a reading bounds this token where it is not listed."""
        return OTHERS if self.texts.by_text.get(self.texts.piece(token) or "") == token else SHARING

    def post(self, prompts: Sequence[Prompt], temperature: float) -> Post:
        """The request for one prompt."""
        tokens = prompts[0].tokens
        body: dict[str, object] = {
            "model": self.model,
            "prompt": list(tokens) if self._takes_ids else self.texts.text(tokens),
            "max_tokens": 1,
            "temperature": temperature,
            "logprobs": self.lists,
        }
        return Post(path="/completions", body=body | self._drawing)

    def readings(self, answer: object, prompts: Sequence[Prompt]) -> list[Reading]:
        """What the answer says of the prompt."""
        (choice,) = choices_in_order(answer, len(prompts))
        self._check_count(answer, prompts[0])
        if not entry(choice, "logprobs", dict).get("tokens", [0]):
            raise WrongAnswer("it ended at once and listed no next tokens")
        named: dict[int, float] = {}
        doubtful: list[float] = []
        for text, value in _listed(entry(choice, "logprobs", dict)):
            token = self.texts.by_text.get(text)
            if token is None:
                doubtful.append(value)
            else:
                named[token] = value
        return [bounded(named, doubtful)]

    def _check_count(self, answer: object, prompt: Prompt) -> None:
        """The server must have read as many tokens as were meant: all that it tells of them."""
        read = whole_number(entry(entry(answer, "usage", dict), "prompt_tokens", int))
        if read != len(prompt.tokens) + self.unseen:
            raise WrongAnswer(
                f"it read {read} tokens where the local tokenizer has {len(prompt.tokens) + self.unseen}"
            )

    def text_post(self, text: str) -> None:
        """Nothing: this way of asking does not show the server's tokens, only their number."""

    def text_tokens(self, answer: object) -> list[int]:  # noqa: ARG002 # nothing was asked
        """Not asked for."""
        raise WrongAnswer("it shows texts and not ids")


def _listed(told: dict[str, object]) -> list[tuple[str, float]]:
    """(text, ln p) of the next tokens, in the older form (an object) or the newer (a list)."""
    if isinstance(told.get("content"), list):
        items = entry(entry(told["content"], 0, dict), "top_logprobs", list)
        return [(entry(i, "token", str), log_probability(i.get("logprob"))) for i in items]
    table = entry(entry(told, "top_logprobs", list), 0, dict)
    return [(text, log_probability(value)) for text, value in table.items()]


class LlamaServerDialect:
    """llama-server's own ``/completion``: the likeliest next tokens, by id.

    Args:
        root: Address of the server without ``/v1``.
        lists: Next tokens to ask for.
    """

    name = "top-k"
    batch = 1
    tells_prompts = False
    chooses = 0

    def __init__(self, root: str, *, lists: int) -> None:
        self.lists = lists
        self._root = root

    def others(self, token: int) -> int:  # noqa: ARG002 # ids are never shared
        """Which entry of a reading bounds this token where it is not listed."""
        return OTHERS

    def post(self, prompts: Sequence[Prompt], temperature: float) -> Post:
        """The request for one prompt."""
        body: dict[str, object] = {
            "prompt": list(prompts[0].tokens),
            "n_predict": 1,
            "n_probs": self.lists,
            "temperature": temperature,
            "cache_prompt": True,
        }
        return Post(path=f"{self._root}/completion", body=body)

    def readings(self, answer: object, prompts: Sequence[Prompt]) -> list[Reading]:
        """What the answer says of the prompt."""
        read = entry(answer, "tokens_evaluated", int)
        if read != len(prompts[0].tokens):
            raise WrongAnswer(f"it read {read} tokens where {len(prompts[0].tokens)} were sent")
        first = entry(entry(answer, "completion_probabilities", list), 0, dict)
        listed = entry(first, "top_logprobs", list)
        named = {entry(i, "id", int): log_probability(i.get("logprob")) for i in listed}
        return [bounded(named, ())]

    def text_post(self, text: str) -> Post:
        """A request that shows how the server tokenizes a text."""
        return Post(path=f"{self._root}/tokenize", body={"content": text, "add_special": False})

    def text_tokens(self, answer: object) -> list[int]:
        """The token ids in the answer to ``text_post``."""
        return [whole_number(token) for token in entry(answer, "tokens", list)]
