"""HTTP to a model server: retries, rate limits, bounded concurrency, and plain words for what can go wrong.

A request is tried again, after exponentially growing waits with jitter, when the connection breaks, times out, or brings status 408, 429 or
5xx or JSON that was cut; a ``Retry-After`` header is honoured. It is not tried again when the server cannot be reached at all
before anything has worked, when TLS fails, or when the answer says that the request itself is wrong: waiting would not help.

The key is read from the environment (``SECRETAUDIT_API_KEY``, then ``OPENAI_API_KEY``), goes into one header, and nowhere else. Requests hold
secrets, so an error quotes what the server says only as long as ``quote`` is set: while probes are sent and nothing of the audit.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_random_exponential,
)

from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.models.server.failures import (
    RETRIED,
    Answer,
    TryAgain,
    WebPage,
    answer_in,
    broken,
    refused_for_now,
)

KEYS = ("SECRETAUDIT_API_KEY", "OPENAI_API_KEY")


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How often and how long to wait: speed and patience, never a number.

    Attributes:
        attempts: Times that one request is sent.
        first_seconds: About how long to wait after the first failure; doubled each time.
        longest_seconds: Longest wait between two attempts.
        patience_seconds: Longest ``Retry-After`` that is waited for.
    """

    attempts: int = 6
    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    patience_seconds: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Post:
    """A request: path below the base address (or a full address) and JSON body."""

    path: str
    body: dict[str, object]


class ServerClient:
    """A connection to one server.

    Args:
        url: Base address, such as ``http://localhost:8000/v1``.
        timeout_seconds: Of one attempt.
        concurrency: Requests under way at a time.
        retries: How failures are waited out.

    Raises:
        UsageError: No http address, a key inside the address, or a key that no header can carry.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 60.0,
        concurrency: int = 4,
        retries: Retries | None = None,
    ) -> None:
        self.url = check_url(url)
        self.concurrency = concurrency
        self.quote = True
        self._timeout = timeout_seconds
        self._retries = retries or Retries()
        self._reached = False
        self._given_up = threading.Event()
        key = api_key()
        self._has_key = key is not None
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout_seconds, connect=min(10.0, timeout_seconds)),
            limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
        )
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="server")

    def close(self) -> None:
        """Let go of connections and threads."""
        self._given_up.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    def get(self, path: str) -> Answer:
        """Fetch a JSON document."""
        self._given_up.clear()
        return self._patiently("GET", path, None)

    def post(self, post: Post) -> Answer:
        """Send one request."""
        return self._patiently("POST", post.path, post.body)

    def try_post(self, post: Post) -> Answer:
        """Send one request to see whether the server understands it: a status of failure or a web page is an answer, after three attempts."""
        self._given_up.clear()
        try:
            return self._attempted("POST", post.path, post.body, 3)
        except WebPage:
            return Answer(status=404, value=None, server="")
        except TryAgain as failure:
            if failure.answer is None:
                raise failure.error from failure.__cause__
            return failure.answer

    def post_many(self, posts: Iterable[Post]) -> Generator[tuple[int, Answer], None, None]:
        """Send many requests, some at a time; answers come as they arrive, with the number of their request.

        When one fails for good, or the caller goes away, the others are not waited out.
        """
        self._given_up.clear()
        numbered = iter(enumerate(posts))
        pending: dict[Future[Answer], int] = {}
        try:
            while True:
                while len(pending) < 2 * self.concurrency:
                    following = next(numbered, None)
                    if following is None:
                        break
                    pending[self._pool.submit(self.post, following[1])] = following[0]
                if not pending:
                    return
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    yield pending.pop(future), future.result()
        finally:
            if pending:
                self._given_up.set()
            for future in pending:
                future.cancel()

    def _patiently(self, method: str, path: str, body: dict[str, object] | None) -> Answer:
        """One request, tried again while that may help."""
        try:
            return self._attempted(method, path, body, self._retries.attempts)
        except TryAgain as failure:
            raise failure.error from failure.__cause__

    def _attempted(
        self, method: str, path: str, body: dict[str, object] | None, attempts: int
    ) -> Answer:
        policy = self._retries
        growing = wait_random_exponential(
            multiplier=policy.first_seconds, max=policy.longest_seconds
        )

        def pause(state: RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome else None
            asked = failure.wait_seconds if isinstance(failure, TryAgain) else None
            return max(asked or 0.0, growing(state))

        retrying = Retrying(
            stop=stop_after_attempt(attempts) | stop_when_event_set(self._given_up),
            sleep=sleep_using_event(self._given_up),
            wait=pause,
            retry=retry_if_exception_type(TryAgain),
            reraise=True,
        )
        return retrying(self._once, method, path, body)

    def _once(self, method: str, path: str, body: dict[str, object] | None) -> Answer:
        url = path if path.startswith("http") else self.url + path
        try:
            response = self._http.request(method, url, json=body)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise broken(error, self.url, self._timeout, self._reached) from error
        self._reached = True
        if response.status_code in RETRIED:
            patience = self._retries.patience_seconds
            raise refused_for_now(response, self.url, self.quote, patience)
        if response.status_code in (401, 403):
            raise CouldNotMeasure(
                f"The server at {self.url} refuses the key (status {response.status_code}).",
                "The key in the environment is not valid there."
                if self._has_key
                else "No key was sent: none stands in the environment.",
                f"Set {KEYS[0]} (or {KEYS[1]}) to a key of that server.",
            )
        return answer_in(response, self.url)


def check_url(url: str) -> str:
    """The base address without trailing slash.

    >>> check_url("http://localhost:8000/v1/")
    'http://localhost:8000/v1'

    Raises:
        UsageError: No http(s) address, or one that holds a user name or key.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    spaced = any(character.isspace() for character in url)
    if parsed.scheme not in ("http", "https") or not parsed.host or spaced:
        raise UsageError(
            "The address of the server cannot be read.",
            "It is not of the form http://HOST:PORT/v1.",
            "Write it like http://localhost:8000/v1.",
        )
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise UsageError(
            "The address of the server holds more than an address.",
            "Addresses are written into records, so no user, key or query may stand in them.",
            f"Put the key into {KEYS[0]} and leave it out of the address.",
        )
    return url.rstrip("/").removesuffix("/completions")


def api_key() -> str | None:
    """The key from the environment.

    Raises:
        UsageError: It has characters that no HTTP header carries.
    """
    for name in KEYS:
        key = os.environ.get(name, "").strip()
        if key and (not key.isascii() or not key.isprintable()):
            raise UsageError(
                f"The key in {name} cannot be sent.",
                "It has characters that no HTTP header carries.",
                "Copy the key again.",
            )
        if key:
            return key
    return None
