"""What a server must show before anything is measured with it.

Prompt log-probabilities are easily wrong with status 200: shifted by one place, after a temperature, of other tokens, of another model.
The checks, all on harmless probes:

entries         as many log-probabilities as tokens, belonging to those tokens
tokens          the server tokenizes a text like the local tokenizer
next = prompt   the likeliest next token t* after a probe has, as the last token of probe + t*, the log-probability that was announced for it
repeated        the same question twice, the same answer
temperature     nothing that is used depends on it
order           a text alone, in a batch, and after other texts costs the same
parts = whole   the last tokens of all beginnings of a text cost, one by one, what they cost inside the text
likely < random what the model itself would write costs less than random tokens

"The same" means within ``TOLERANCE_BITS`` for every token. Whatever fails is ``CouldNotMeasure``: never a number, never a pass. The probes are asked
again during and after the audit (``verify``), since a server that was restarted with other weights answers as readily as before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from secretaudit.errors import CouldNotMeasure, ModelError
from secretaudit.models.language_model import Framing, TokenView
from secretaudit.models.server.answers import WrongAnswer
from secretaudit.models.server.asking import Asker
from secretaudit.models.server.dialects import Dialect, Prompt, Reading
from secretaudit.models.server.probes import TEXTS, Probes

#: Two readings of one token that differ by no more than this are the same.
TOLERANCE_BITS = 1e-3
TOLERANCE_NATS = TOLERANCE_BITS * math.log(2.0)


class Handshake:
    """The checks of one server, in their order.

    Args:
        asker: Asks it.
        tokenizer: The local tokenizer.
        framing: What stands around texts.
        listings: Dialects that list next tokens in another way than the audit's own, the first that answers counts.

    Attributes:
        report: One entry per check: ``name``, ``passed`` (``None`` where it does not apply) and ``detail``.
    """

    def __init__(
        self,
        asker: Asker,
        tokenizer: TokenView,
        framing: Framing,
        listings: tuple[Dialect, ...] = (),
    ) -> None:
        self.report: list[dict[str, Any]] = []
        self._asker = asker
        self._tokenizer = tokenizer
        self._framing = framing
        self._listings = listings or (asker.dialect,)
        self._probe = Probes(tokenizer, framing, asker.served.context)
        self._probes = [Prompt(tokens=tokens) for tokens in self._probe.texts()]
        self._first: NDArray[np.float64] = np.empty(0)

    @property
    def fingerprint(self) -> NDArray[np.float64]:
        """What the probes cost, as first measured: nats, one entry per token."""
        return self._first

    def run(self) -> None:
        """All checks.

        Raises:
            CouldNotMeasure: One of them failed.
        """
        self._first = self._costs(self._questions)
        self._note("entries", f"{len(self._first)} log-probabilities of {len(self._probes)} probes")
        self._check_tokens()
        if self._asker.dialect.tells_prompts:
            self._check_next()
        self._check_repeated()
        self._check_temperature()
        self._check_order()
        if self._asker.dialect.tells_prompts:
            self._check_parts()
            self._check_random()
        else:
            self._check_lists_differ()
        self._time()

    def verify(self) -> None:
        """Ask the probes again.

        Raises:
            CouldNotMeasure: The server answers otherwise than at the handshake.
        """
        now = self._costs(self._questions, batch=1)
        worst = _distance(now, self._first)
        if worst > TOLERANCE_NATS:
            self._asker.cache.discard()
            raise CouldNotMeasure(
                f"The answers of the server {self._asker.served} drift.",
                f"A probe that was asked before costs {_bits(worst)} bits more or less now, so the audit's numbers do not belong together.",
                "Serve one model, unchanged, for the whole audit, and run it again; replies kept so far were discarded.",
            )

    @property
    def _questions(self) -> list[Prompt]:
        """The probes, asked in every way that the audit will ask."""
        dialect = self._asker.dialect
        if not dialect.tells_prompts:
            return [Prompt(tokens=p.tokens, listed=True) for p in self._probes]
        wanted = tuple(sorted(set(self._probes[0].tokens[-3:]))) if dialect.chooses else ()
        chosen = [Prompt(tokens=p.tokens, wanted=wanted) for p in self._probes if wanted]
        return [*self._probes, *chosen]

    def _costs(
        self, prompts: list[Prompt], *, batch: int | None = None, temperature: float = 1.0
    ) -> NDArray[np.float64]:
        """All log-probabilities that the server gives, one after the other; prompts travel together unless told otherwise."""
        told = self._asker.fresh(prompts, batch=batch or len(prompts), temperature=temperature)
        return _flat(told)

    def _check_tokens(self) -> None:
        for text in TEXTS:
            post = self._asker.dialect.text_post(text)
            try:
                (ours,) = self._tokenizer.encode([text])
            except ModelError:
                continue
            if post is None:
                shown = self._asker.dialect.tells_prompts
                detail = "held against each other" if shown else "their number is held against ours"
                return self._note("tokens", f"{detail} in every answer", shown or None)
            answer = self._asker.client.post(post)
            try:
                theirs = self._asker.dialect.text_tokens(answer.value)
            except WrongAnswer as wrong:
                return self._note("tokens", f"the server does not show its tokens: {wrong}", None)
            before = [*self._framing.before]
            if theirs not in (ours, [*before, *ours]):
                self._fail(
                    "tokens",
                    f"{text!r} has {len(ours)} tokens here and {len(theirs)} other ones there",
                    "Give the tokenizer of the served model with --tokenizer DIRECTORY.",
                )
        return self._note("tokens", "the same ids for all probes that the tokenizer can write")

    def _check_next(self) -> None:
        """The likeliest next token as announced and as priced inside a prompt."""
        asked = [(tokens, _likeliest(listed)) for tokens, listed in self._announced]
        told = np.array([listed[t] for _, listed in self._announced for t in _likeliest(listed)])
        if not asked:
            self._fail(
                "next = prompt",
                "the server announces no next token for any probe, so its prompt log-probabilities cannot be checked",
                "Use a server that lists next tokens (logprobs), or open the model in this process.",
            )
        longer = [Prompt(tokens=(*tokens, token)) for tokens, best in asked for token in best]
        inside = np.array([reading.log_p[-1] for reading in self._asker.fresh(longer)])
        worst = _distance(told, inside)
        if self._asker.dialect.chooses:
            some = [Prompt(tokens=tokens, wanted=tuple(sorted(best))) for tokens, best in asked]
            chosen = zip(asked, self._asker.fresh(some), strict=True)
            again = np.array([r.following[t] for (_, best), r in chosen for t in best])
            worst = max(worst, _distance(again, inside))
        if worst > TOLERANCE_NATS:
            self._fail(
                "next = prompt",
                f"a next token costs {_bits(worst)} bits more or less inside a prompt than it was announced with",
                "Its prompt log-probabilities are of other tokens (llama-cpp-python shifts them by one where it adds no begin-of-text "
                "token): open the GGUF file itself with --model FILE.gguf, or use vLLM.",
            )
        self._note("next = prompt", f"{len(told)} next tokens, at most {_bits(worst)} bits apart")

    @cached_property
    def _announced(self) -> list[tuple[tuple[int, ...], dict[int, float]]]:
        """(tokens, ln p of likely next tokens) after beginnings of the probes; those where the server says nothing are left out."""
        shortest = self._framing.given + 1
        beginnings = {p.tokens[:n] for p in self._probes for n in (shortest, len(p.tokens))}
        found = []
        for tokens in sorted(filter(self._probe.writable, beginnings)):
            plain = {
                token: value
                for token, value in self._list_after(tokens).items()
                if 0 <= token < len(self._tokenizer.token_bytes)  # a model may have more
                and self._tokenizer.token_bytes[token]
                and self._probe.writable((*tokens, token))
            }
            if plain:
                found.append((tokens, plain))
        return found

    def _list_after(self, tokens: tuple[int, ...]) -> dict[int, float]:
        """ln p of likely next tokens, as the first dialect says that says anything."""
        prompt = Prompt(tokens=tokens, listed=True)
        for listing in self._listings:
            answer = self._asker.client.try_post(listing.post([prompt], 1.0))
            try:
                (reading,) = listing.readings(answer.value, [prompt])
            except WrongAnswer:
                continue
            if reading.following:
                return reading.following
        return {}

    def _check_repeated(self) -> None:
        worst = _distance(self._costs(self._questions), self._first)
        self._hold(
            "repeated",
            worst,
            "the same question, asked twice, has answers {} bits apart",
            "Serve in float32, one request at a time (--concurrency 1) or with batch-invariant kernels, and without sampling of prompts.",
        )

    def _check_temperature(self) -> None:
        worst = max(
            _distance(self._costs(self._questions, temperature=t), self._first) for t in (0.5, 2.0)
        )
        self._hold(
            "temperature",
            worst,
            "another temperature changes a log-probability by {} bits",
            "Let the server report raw log-probabilities (vLLM: --logprobs-mode raw_logprobs).",
        )

    def _check_order(self) -> None:
        """Each probe alone; then all in one batch, the other way round; then each alone again, after the others."""
        asked = self._questions
        backwards = asked[::-1]
        told = dict(zip(backwards, self._asker.fresh(backwards, batch=len(asked)), strict=True))
        together = _flat([told[prompt] for prompt in asked])
        alone = self._costs(asked, batch=1)
        worst = max(_distance(alone, self._first), _distance(together, self._first))
        self._hold(
            "order",
            worst,
            "a text costs {} bits more or less, depending on what is asked with it or before it",
            "Serve in float32 with batch-invariant kernels (vLLM: VLLM_BATCH_INVARIANT=1), or use --concurrency 1.",
        )

    def _check_parts(self) -> None:
        """Every beginning of a probe: its last token costs what it costs inside the whole."""
        worst = 0.0
        whole = self._asker.fresh(self._probes[:2])
        for probe, reading in zip(self._probes[:2], whole, strict=True):
            ends = [
                n
                for n in range(self._framing.given + 1, len(probe.tokens) + 1)
                if self._probe.writable(probe.tokens[:n])
            ]
            parts = self._asker.fresh([Prompt(tokens=probe.tokens[:n]) for n in ends])
            last = np.array([part.log_p[-1] for part in parts])
            worst = max(worst, _distance(last, reading.log_p[np.array(ends) - 1]))
        self._hold(
            "parts = whole",
            worst,
            "a token costs {} bits more or less at the end of a text than inside it",
            "Its prompt log-probabilities look ahead or are of other tokens; use another server.",
        )

    def _check_random(self) -> None:
        """What the model would write must be cheaper than random tokens; equal prices are no prices."""
        likely = max(
            (value for _, listed in self._announced for value in [max(listed.values())]),
            default=-math.inf,
        )
        drawn = self._probe.random()
        (reading,) = self._asker.fresh([Prompt(tokens=drawn)])
        values = reading.log_p[self._framing.given :]
        if likely - float(values.mean()) <= TOLERANCE_NATS or np.ptp(values) <= TOLERANCE_NATS:
            self._fail(
                "likely < random",
                "random tokens cost no more than what the model itself would write, as if all prices were the same",
                "The server does not give the model's own probabilities; use another server.",
            )
        self._note(
            "likely < random",
            f"{_bits(-likely)} bits for a likely token, {_bits(-float(values.mean()))} for a random one",
        )

    def _check_lists_differ(self) -> None:
        """Lists after different texts must differ; equal lists are no answers."""
        told = self._asker.fresh(self._questions)
        if len(told) > 1 and all(t.following == told[0].following for t in told):
            self._fail(
                "lists differ",
                "the list of next tokens is the same after every text",
                "The server does not give the model's own probabilities; use another server.",
            )
        self._note("lists differ", f"{len(told)} texts, different lists of next tokens")

    def _time(self) -> None:
        """Send some prompts as an audit sends them, to know how long they take."""
        count = self._asker.client.concurrency * min(16, self._asker.dialect.batch)
        texts = [p.tokens[:n] for p in self._probes for n in range(len(p.tokens), 3, -1)]
        fitting = [tokens for tokens in texts if self._probe.writable(tokens)][:count]
        listed = not self._asker.dialect.tells_prompts
        self._asker.time_anew([Prompt(tokens=tokens, listed=listed) for tokens in fitting])

    def _hold(self, name: str, worst: float, difference: str, way_out: str) -> None:
        if worst > TOLERANCE_NATS:
            self._fail(name, difference.format(_bits(worst)), way_out)
        self._note(name, f"at most {_bits(worst)} bits apart")

    def _note(self, name: str, detail: str, passed: bool | None = True) -> None:
        self.report.append({"name": name, "passed": passed, "detail": detail})

    def _fail(self, name: str, detail: str, way_out: str) -> NoReturn:
        self._note(name, detail, passed=False)
        raise CouldNotMeasure(
            f"The server {self._asker.served} fails the handshake ({name}).",
            f"{detail[:1].upper()}{detail[1:]}.",
            way_out,
        )


def _likeliest(listed: dict[int, float]) -> list[int]:
    """The three likeliest of the listed tokens."""
    return sorted(listed, key=lambda token: -listed[token])[:3]


def _flat(readings: Sequence[Reading]) -> NDArray[np.float64]:
    """All numbers of some readings: a prompt's own tokens first, then next tokens by id."""
    parts = []
    for reading in readings:
        parts.append(reading.log_p[1:])
        parts.append(np.array([reading.following[t] for t in sorted(reading.following)]))
    return np.concatenate(parts)


def _distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Largest difference in nats; infinite where the numbers do not belong to the same tokens."""
    if len(one) != len(other):
        return math.inf
    return float(np.max(np.abs(one - other), initial=0.0))


def _bits(nats: float) -> str:
    return f"{nats / math.log(2.0):.3g}"
