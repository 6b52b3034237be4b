"""Finding out which dialect a server speaks, by one harmless request each.

A dialect is taken when the server answers a probe in it with numbers that belong to the probe's tokens, and only then. Servers answer what they do
not understand in many ways: status 400, 422 or 500, or status 200 with the unknown fields ignored (``transformers serve``). None of that is an error
here; an error is only that nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from secretaudit.errors import CouldNotMeasure, ModelError, UsageError
from secretaudit.models.language_model import Framing, TokenView
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.server.answers import WrongAnswer, entry
from secretaudit.models.server.asking import Served
from secretaudit.models.server.client import Post, ServerClient
from secretaudit.models.server.dialects import (
    Dialect,
    EchoDialect,
    Prompt,
    Reading,
    VllmDialect,
)
from secretaudit.models.server.failures import Answer, said
from secretaudit.models.server.sglang import SglangDialect
from secretaudit.models.server.text import TokenTexts
from secretaudit.models.server.top_k import ListingDialect, LlamaServerDialect
from secretaudit.models.transformer.framing import framing_of

#: Largest vocabulary of which whole distributions are asked for.
SMALL_VOCABULARY = 4096
#: Numbers of listed next tokens that are tried: llama-server knows no limit, vLLM's is 20, OpenAI's 5.
LISTS = (500, 100, 20, 5, 1)
#: Next tokens that vLLM lets one request choose.
VLLM_CHOOSES = 128
#: Prompts of one request to a server that echoes texts, where it takes more than one.
ECHO_BATCH = 16
#: Texts of which the first that the tokenizer can write is sent.
PROBES = ("the cat sat on the mat", "The first of them", "a b c d e")


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A dialect that the server speaks.

    Attributes:
        dialect: The dialect.
        framing: What stands around texts in it.
        listings: Other ways to list next tokens, where the dialect's own is not independent of its prices.
    """

    dialect: Dialect
    framing: Framing
    listings: tuple[Dialect, ...] = ()


@dataclass(frozen=True)
class Opening:
    """A server whose dialect is not known yet.

    Attributes:
        client: The connection.
        served: Which model is meant.
        tokenizer: Its tokenizer.
        view: What encodes texts.
        options: What the user asked for.
    """

    client: ServerClient
    served: Served
    tokenizer: PreTrainedTokenizerFast
    view: TokenView
    options: ModelOptions

    def spoken(self) -> Spoken:
        """The dialect asked for, or the first one that the server speaks.

        Raises:
            CouldNotMeasure: None.
            UsageError: The server decides something that the options ask for.
        """
        asked = self.options.api
        for name in SPEAKERS if asked == "auto" else (asked,):
            found = SPEAKERS[name](self)
            if found is not None:
                return found
        answer = self._completion(self._probe)
        if not answer.fine:
            raise CouldNotMeasure(
                f"The server {self.served} does not complete texts.",
                f"{self.client.url}/completions answers with status {answer.status}{said(answer.value)}.",
                "Use a server with /v1/completions (vLLM, llama-cpp-python), or SGLang.",
            )
        told = "no log-probabilities" if asked == "auto" else f"nothing in the dialect {asked!r}"
        raise CouldNotMeasure(
            f"The server {self.served} cannot be audited.",
            f"It completes texts and tells {told}.",
            "Serve the model with vLLM, SGLang or llama-cpp-python (--logits_all true), or open it in this process.",
        )

    def vllm(self) -> Spoken | None:
        """vLLM: token ids and ``prompt_logprobs``."""
        model, framing = self.served.model, self._framing()
        tokens = (*framing.before, *self._tokens)
        if self._reads(VllmDialect(model), Prompt(tokens=tokens)) is None:
            return None
        lists = self._most_listed(lambda k: VllmDialect(model, lists=k), tokens)
        wanted = tuple(sorted(set(tokens[-3:])))
        choosing = VllmDialect(model, lists=lists, chooses=VLLM_CHOOSES)
        told = self._reads(choosing, Prompt(tokens=tokens, wanted=wanted))
        chooses = 0 if told is None else VLLM_CHOOSES
        return Spoken(dialect=VllmDialect(model, lists=lists, chooses=chooses), framing=framing)

    def sglang(self) -> Spoken | None:
        """SGLang's own way."""
        dialect, framing = SglangDialect(self._root), self._framing()
        tokens = (*framing.before, *self._tokens)
        if self._reads(dialect, Prompt(tokens=tokens)) is None:
            return None
        return Spoken(dialect=dialect, framing=framing)

    def echo(self) -> Spoken | None:
        """Texts that are echoed with log-probabilities."""
        answer = self._completion(self._probe, echo=True, logprobs=1)
        shown = _shown(answer)
        if len(shown) < len(self._tokens):
            return None
        framing, unseen = self._text_framing(shown, answer)
        model, texts = self.served.model, TokenTexts(self.view, framing.before)
        tokens = (*framing.before, *self._tokens)
        two = (Prompt(tokens=tokens), Prompt(tokens=tokens[:-1]))
        batch = 1 if self._reads(EchoDialect(model, texts), *two) is None else ECHO_BATCH

        def listing(k: int, freely: bool = False) -> ListingDialect:
            return ListingDialect(
                model, texts, lists=k, takes_ids=False, unseen=unseen, freely=freely
            )

        lists = self._most_listed(lambda k: listing(k, True), tokens, most=20)
        dialect = EchoDialect(model, texts, lists=lists, batch=batch)
        others = (listing(max(1, lists)), listing(max(1, lists), True))
        return Spoken(dialect=dialect, framing=framing, listings=others)

    def top_k(self) -> Spoken | None:
        """Only the likeliest next tokens: llama-server's own way, or completions with ids or texts."""
        framing, model = self._framing(), self.served.model
        tokens = (*framing.before, *self._tokens)
        native = self._most_listed(lambda k: LlamaServerDialect(self._root, lists=k), tokens)
        if native:
            return Spoken(dialect=LlamaServerDialect(self._root, lists=native), framing=framing)
        texts = TokenTexts(self.view, framing.before)

        def by_ids(k: int) -> ListingDialect:
            return ListingDialect(model, texts, lists=k, takes_ids=True)

        lists = self._most_listed(by_ids, tokens)
        return Spoken(dialect=by_ids(lists), framing=framing) if lists else self._top_k_of_texts()

    def _top_k_of_texts(self) -> Spoken | None:
        answer = self._completion(self._probe, logprobs=1)
        if not answer.fine:
            return None
        framing, unseen = self._text_framing([], answer)
        texts = TokenTexts(self.view)

        def listing(k: int) -> ListingDialect:
            return ListingDialect(self.served.model, texts, lists=k, takes_ids=False, unseen=unseen)

        lists = self._most_listed(listing, tuple(self._tokens))
        return Spoken(dialect=listing(lists), framing=framing) if lists else None

    @property
    def _root(self) -> str:
        """Where a server's own ways begin: the address without ``/v1``."""
        return self.client.url.removesuffix("/v1")

    @property
    def _probe(self) -> str:
        """A text that the tokenizer can write.

        Raises:
            ModelError: It can write none of ours.
        """
        for text in PROBES:
            try:
                self.view.encode([text])
            except ModelError:
                continue
            return text
        raise ModelError(
            "The tokenizer cannot write any of the texts that a server is tried with.",
            f"They are {', '.join(map(repr, PROBES))}.",
            "Open the model in this process.",
        )

    @property
    def _tokens(self) -> list[int]:
        return self.view.encode([self._probe])[0]

    def _framing(self) -> Framing:
        """What stands around a text where token ids are sent."""
        return framing_of(self.tokenizer, self.view, self.options, closes=False)

    def _text_framing(self, shown: list[object], answer: Answer) -> tuple[Framing, int]:
        """What a server that reads texts puts before them: tokens that it shows, and how many it does not show.

        Raises:
            UsageError: The options ask for something else.
            CouldNotMeasure: Its tokens are not ours.
        """
        options, count = self.options, len(self._tokens)
        if options.bos != "auto" or options.close == "on" or options.chat is not None:
            raise UsageError(
                f"The server {self.served} decides itself what it reads around a text.",
                "It takes texts and no token ids, so a begin- or end-of-text token or a chat cannot be asked for.",
                "Leave --bos, --close and --chat out, or use a server that takes token ids (vLLM, SGLang).",
            )
        if not getattr(self.view, "reversible", True):
            raise CouldNotMeasure(
                f"The server {self.served} takes texts and no token ids.",
                "The tokenizer changes texts, so which text stands for which tokens is not known.",
                "Use a server that takes token ids (vLLM, SGLang), or open the model in this process.",
            )
        starts = self._framing().before[:1]
        for before in ((), starts) if shown else ((),):
            try:
                if shown:
                    texts = TokenTexts(self.view, before)
                    texts.check((*before, *self._tokens), shown)
            except WrongAnswer:
                continue
            read = _prompt_tokens(answer)
            unseen = 0 if read is None else read - len(before) - count
            if unseen in (0, 1):
                return Framing(before=before), unseen
        raise CouldNotMeasure(
            f"The server {self.served} reads other tokens than the local tokenizer.",
            f"{self._probe!r} has {count} tokens here, and other ones there.",
            "Give the tokenizer of the served model with --tokenizer DIRECTORY.",
        )

    def _most_listed(
        self, dialect: Callable[[int], Dialect], tokens: tuple[int, ...], most: int | None = None
    ) -> int:
        """The most next tokens that the server lists, 0 for none.

        Tried are the whole vocabulary if it is small, unless ``most`` is given, and then the numbers of ``LISTS``.
        """
        size = len(self.view.token_bytes)
        prompt = Prompt(tokens=tokens, listed=True)
        if most is None and size <= SMALL_VOCABULARY:
            told = self._reads(dialect(size), prompt)
            if told and sum(0 <= token < size for token in told[0].following) == size:
                return size
        for k in LISTS:
            if k <= min(most or k, size) and self._reads(dialect(k), prompt) is not None:
                return k
        return 0

    def _reads(self, dialect: Dialect, *prompts: Prompt) -> list[Reading] | None:
        """What the server says of probes; ``None`` when it does not speak the dialect."""
        answer = self.client.try_post(dialect.post(prompts, 1.0))
        if not answer.fine:
            return None
        try:
            return dialect.readings(answer.value, prompts)
        except WrongAnswer:
            return None

    def _completion(self, text: str, **fields: object) -> Answer:
        body = {"model": self.served.model, "prompt": text, "max_tokens": 1, **fields}
        return self.client.try_post(Post(path="/completions", body=body))


#: How each dialect is tried, in this order.
SPEAKERS: dict[str, Callable[[Opening], Spoken | None]] = {
    "vllm": Opening.vllm,
    "sglang": Opening.sglang,
    "echo": Opening.echo,
    "top-k": Opening.top_k,
}


def _shown(answer: Answer) -> list[object]:
    """The tokens that an echo shows; none where it shows none."""
    try:
        choice = entry(entry(answer.value, "choices", list), 0, dict)
        return entry(entry(choice, "logprobs", dict), "tokens", list)
    except WrongAnswer:
        return []


def _prompt_tokens(answer: Answer) -> int | None:
    """How many tokens the server says to have read."""
    try:
        return entry(entry(answer.value, "usage", dict), "prompt_tokens", int)
    except WrongAnswer:
        return None
