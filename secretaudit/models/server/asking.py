"""Asking a server many prompts: each once, some at a time, and none that was answered before.

Identical prompts are asked once, prompts whose replies are on disk are not asked at all, and the others travel by length, several in one
request, some requests at a time. Every ``WATCH_PROMPTS`` prompts the server is asked a probe again (``watch``), since a server that is
restarted with other weights in the middle of an audit goes on answering.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from secretaudit.errors import CouldNotMeasure
from secretaudit.models.server.answers import WrongAnswer
from secretaudit.models.server.client import ServerClient
from secretaudit.models.server.dialects import Dialect, Prompt, Reading
from secretaudit.models.server.failures import Answer, said
from secretaudit.models.server.reply_cache import ReplyCache

#: Prompts between two looks at a probe.
WATCH_PROMPTS = 20_000


@dataclass(frozen=True, kw_only=True)
class Served:
    """Which model of which server: what records and errors call it.

    Attributes:
        url: Base address.
        model: Name of the model there.
        software: What the server calls itself.
        context: Most tokens of a prompt, where it is told.
    """

    url: str
    model: str
    software: str
    context: int | None = None

    def __str__(self) -> str:
        return f"{self.software} at {self.url}"


class Asker:
    """Prompts in, readings out.

    Args:
        client: The connection.
        dialect: How this server is asked.
        served: What it is called.
        cache: Replies on disk.
    """

    def __init__(
        self, client: ServerClient, dialect: Dialect, served: Served, cache: ReplyCache
    ) -> None:
        self.client = client
        self.dialect = dialect
        self.served = served
        self.cache = cache
        self.watch: Callable[[], None] = lambda: None
        #: Replies that were on disk already when the audit began.
        self.replies_kept = 0
        self.requests = 0
        self.prompts = 0
        self._timed_prompts = 0
        self._timed_seconds = 0.0
        self._since_watch = 0

    def readings(self, prompts: Sequence[Prompt]) -> list[Reading]:
        """What the server says of each prompt.

        Raises:
            CouldNotMeasure: It does not answer, or answers something else than what was asked.
        """
        distinct = list(dict.fromkeys(prompts))
        known = self.cache.find(distinct)
        missing = [prompt for prompt in distinct if prompt not in known]
        known |= self._asked(missing, keep=True)
        return [known[prompt] for prompt in prompts]

    def fresh(
        self, prompts: Sequence[Prompt], *, batch: int | None = None, temperature: float = 1.0
    ) -> list[Reading]:
        """The same, past the cache: for the handshake, which wants to know what the server says *now*."""
        known = self._asked(list(dict.fromkeys(prompts)), batch=batch, temperature=temperature)
        return [known[prompt] for prompt in prompts]

    def time_anew(self, prompts: Sequence[Prompt]) -> None:
        """Forget how long requests took so far, and take these, sent as an audit sends them, as the rate to begin with."""
        self._timed_prompts, self._timed_seconds = 0, 0.0
        self._asked(list(dict.fromkeys(prompts)))

    def estimate(self, prompts: int) -> tuple[int, float]:
        """(requests, seconds) that so many more prompts take, at the rate measured so far."""
        per_prompt = self._timed_seconds / max(1, self._timed_prompts)
        return math.ceil(prompts / self.dialect.batch), prompts * per_prompt

    def _asked(
        self,
        prompts: list[Prompt],
        *,
        keep: bool = False,
        batch: int | None = None,
        temperature: float = 1.0,
    ) -> dict[Prompt, Reading]:
        """Send prompts and read the answers, whatever is known already."""
        groups = self._groups(prompts, batch)
        posts = (self.dialect.post(group, temperature) for group in groups)
        found: dict[Prompt, Reading] = {}
        started = time.perf_counter()
        with closing(self.client.post_many(posts)) as answers:
            for number, answer in answers:
                group = groups[number]
                told = list(zip(group, self._read(answer, group), strict=True))
                found.update(told)
                if keep:
                    self.cache.keep(told)
        self._timed_seconds += time.perf_counter() - started
        self._timed_prompts += len(prompts)
        self.requests += len(groups)
        self.prompts += len(prompts)
        if keep:
            self._since_watch += len(prompts)
            if self._since_watch >= WATCH_PROMPTS:
                self._since_watch = 0
                self.watch()
        return found

    def _groups(self, prompts: list[Prompt], batch: int | None) -> list[list[Prompt]]:
        """Prompts that travel together: of one kind, of about one length; spread over the requests under way unless ``batch`` says how many."""
        kinds: dict[tuple[object, ...], list[Prompt]] = {}
        for prompt in prompts:
            kinds.setdefault(prompt.kind, []).append(prompt)
        groups: list[list[Prompt]] = []
        for alike in kinds.values():
            alike.sort(key=lambda prompt: len(prompt.tokens))
            spread = math.ceil(len(alike) / self.client.concurrency)
            size = min(batch or spread, self.dialect.batch)
            groups += [alike[low : low + size] for low in range(0, len(alike), size)]
        return groups

    def _read(self, answer: Answer, prompts: list[Prompt]) -> list[Reading]:
        if not answer.fine:
            quoted = said(answer.value) if self.client.quote else ""
            raise CouldNotMeasure(
                f"The server {self.served} refuses a request with status {answer.status}.",
                f"It says{quoted}."
                if quoted
                else "What it says may hold a secret and is not shown.",
                "Look into the server's log; canaries that are too long for its context are a common reason.",
            )
        try:
            return self.dialect.readings(answer.value, prompts)
        except WrongAnswer as wrong:
            raise CouldNotMeasure(
                f"The server {self.served} gives an answer that cannot be used.",
                f"In the dialect {self.dialect.name!r}, {wrong}.",
                "Check --tokenizer and --api; a server without prompt log-probabilities cannot be audited.",
            ) from wrong
