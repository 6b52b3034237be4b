"""What can go wrong between us and a server, in plain words; and what of it may pass.

``TryAgain`` is raised for what may pass: a broken connection, a late answer, status 408, 429 or 5xx, JSON that was cut. Everything else is the
error that the user reads. What a server *says* may quote the request, and requests hold secrets: it is shown only where the caller allows it.
"""

from __future__ import annotations

import email.utils
import json
import time
from dataclasses import dataclass

import httpx

from secretaudit.errors import CouldNotMeasure, UsageError

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 529})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back: the status, the JSON value (``None`` when it is none), and who says to have sent it."""

    status: int
    value: object
    server: str

    @property
    def fine(self) -> bool:
        """Whether the server did what was asked."""
        return 200 <= self.status < 300


class TryAgain(Exception):
    """A failure that may pass: what happened, how long the server wants us to wait, and the error for the last attempt."""

    def __init__(
        self,
        error: CouldNotMeasure,
        wait_seconds: float | None = None,
        answer: Answer | None = None,
    ) -> None:
        super().__init__(error.what)
        self.error = error
        self.wait_seconds = wait_seconds
        self.answer = answer


class WebPage(CouldNotMeasure):
    """A page for people, with a status of success."""


def broken(error: Exception, url: str, timeout_seconds: float, reached: bool) -> Exception:
    """What to raise for a connection that did not come about, or broke.

    Args:
        error: What the HTTP client says.
        url: Base address.
        timeout_seconds: How long was waited.
        reached: Whether the server has answered before.
    """
    text = str(error)
    if "CERTIFICATE" in text.upper() or ("SSL" in text and not reached):
        return CouldNotMeasure(
            f"No trusted connection to {url} could be made.",
            f"TLS fails: {_short(text)}.",
            "Check http against https; for a certificate of your own, name its authority in SSL_CERT_FILE.",
        )
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return UsageError(
            f"{url} is no address of a server.",
            f"It cannot be read as one: {_short(text)}.",
            "Write it like http://localhost:8000/v1.",
        )
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        late = CouldNotMeasure(
            f"The server at {url} did not answer within {timeout_seconds:g} seconds.",
            "It is overloaded, or computes longer than it was given.",
            "Give it more time with --timeout, or send it less at a time with --concurrency.",
        )
        return TryAgain(late)
    down = CouldNotMeasure(
        f"The server at {url} cannot be reached."
        if not reached
        else f"The connection to {url} broke.",
        f"The connection failed: {_short(text) or type(error).__name__}.",
        "Check that the server runs and that the address is right; a rerun goes on where this one ended."
        if reached
        else "Start the server, and check the address, the port, and http against https.",
    )
    return TryAgain(down) if reached else down


def refused_for_now(
    response: httpx.Response, url: str, quote: bool, patience_seconds: float
) -> Exception:
    """What to raise for a status that may pass.

    Args:
        response: The answer.
        url: Base address.
        quote: Whether what the server says may be shown.
        patience_seconds: Longest wait that is agreed to.
    """
    status, after = response.status_code, _retry_after(response)
    error = CouldNotMeasure(
        f"The server at {url} keeps answering with status {status}.",
        "It limits how much may be asked."
        if status == 429
        else f"It fails{_quoted(response) if quote else ''}.",
        "Ask less at a time with --concurrency, or later; a rerun goes on where this one ended."
        if status == 429
        else "Look into the server's log; a rerun goes on where this one ended.",
    )
    if after is not None and after > patience_seconds:
        return CouldNotMeasure(
            f"The server at {url} asks to wait {after:,.0f} seconds.",
            f"That is longer than the {patience_seconds:g} seconds that are waited for.",
            "Run the audit again later; it goes on where this one ended.",
        )
    server = response.headers.get("server", "")
    return TryAgain(error, after, Answer(status=status, value=None, server=server))


def answer_in(response: httpx.Response, url: str) -> Answer:
    """The JSON of an answer.

    Raises:
        WebPage: It comes from something that is no model server.
        TryAgain: It is no JSON, or only the beginning of it.
    """
    if response.is_success and _is_page(response):
        raise WebPage(
            f"{url} is no model server.",
            "It answers with a web page where JSON was expected.",
            "Give the address of the API, which often ends in /v1.",
        )
    try:
        value: object = json.loads(response.content)
    except ValueError as error:
        if response.is_success:
            raise TryAgain(_garbage(url)) from error
        value = None
    server = response.headers.get("server", "")
    return Answer(status=response.status_code, value=value, server=server)


def _quoted(response: httpx.Response) -> str:
    """What the server says."""
    try:
        return said(json.loads(response.content))
    except ValueError:
        return ""


def said(value: object) -> str:
    """The message inside an error answer, as ': …'; empty when there is none.

    >>> said({"error": {"message": "no such model."}})
    ': no such model'
    """
    while isinstance(value, dict):
        value = next((value[key] for key in ("error", "message", "detail") if key in value), None)
    return f": {_short(str(value))}" if value else ""


def _garbage(url: str) -> CouldNotMeasure:
    return CouldNotMeasure(
        f"The server at {url} answers with something that is not JSON.",
        "The answer was cut short, or the server is no model server.",
        "Check the address and the server's log; a rerun goes on where this one ended.",
    )


def _is_page(response: httpx.Response) -> bool:
    kind = response.headers.get("content-type", "")
    return "html" in kind or response.content[:200].lstrip()[:1] == b"<"


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the server asks to wait: a number or a date."""
    text = response.headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _short(text: str) -> str:
    """The first line of a message, cut, without the full stop."""
    line = text.strip().splitlines()[0] if text.strip() else ""
    return (line if len(line) <= 160 else line[:159] + "…").rstrip(".")
