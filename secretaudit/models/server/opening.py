"""From the address of a model server to a ``LanguageModel``, or to a refusal that says what to do.

1. ``/models``: is it a server, which models has it, what does it say of the one that is meant
2. the tokenizer, which has to be on this machine
3. the dialect (``server.dialects``, ``server.top_k``): asked for, or found by one harmless request each
4. the handshake (``server.handshake``)
5. the reply cache, opened at the generation of replies that belongs to what the probes cost now
"""

from __future__ import annotations

import hashlib

from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.models.language_model import TokenView
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.server.answers import WrongAnswer, entry
from secretaudit.models.server.asking import Asker, Served
from secretaudit.models.server.bounds import TopKServerModel
from secretaudit.models.server.client import Retries, ServerClient
from secretaudit.models.server.dialects import Dialect
from secretaudit.models.server.failures import said
from secretaudit.models.server.finding import SPEAKERS, Opening
from secretaudit.models.server.handshake import TOLERANCE_NATS, Handshake
from secretaudit.models.server.language_model import ServedModel, ServerLanguageModel
from secretaudit.models.server.reply_cache import ReplyCache, default_cache
from secretaudit.models.server.tokenizer import served_tokenizer
from secretaudit.models.tokens.view import FastTokenizerView

#: Requests under way at a time, where the user does not say.
CONCURRENCY = 4


def open_server(url: str, options: ModelOptions, *, retries: Retries | None = None) -> ServedModel:
    """A model behind an OpenAI-compatible, SGLang or llama.cpp server, after its handshake.

    Args:
        url: Base address, such as ``http://localhost:8000/v1``.
        options: ``server_model``, ``tokenizer``, ``api``, ``concurrency``, ``timeout_seconds``, ``reply_cache``, ``bos``, ``close``
            and ``chat`` are read.
        retries: How failures are waited out.

    Raises:
        UsageError: An address, model name, tokenizer or option that cannot be used.
        CouldNotMeasure: The server cannot be reached, has no log-probabilities, or fails the handshake.
    """
    _check_options(options)
    client = ServerClient(
        url,
        timeout_seconds=options.timeout_seconds,
        concurrency=options.concurrency or CONCURRENCY,
        retries=retries,
    )
    try:
        return _opened(client, options)
    except BaseException:
        client.close()
        raise


def _opened(client: ServerClient, options: ModelOptions) -> ServedModel:
    served, root = _identified(client, options)
    tokenizer = served_tokenizer(options.tokenizer, root)
    view = FastTokenizerView(tokenizer)
    spoken = Opening(client, served, tokenizer, view, options).spoken()
    cache = ReplyCache(options.reply_cache or default_cache())
    try:
        asker = Asker(client, spoken.dialect, served, cache)
        handshake = Handshake(asker, view, spoken.framing, spoken.listings)
        handshake.run()
        asker.replies_kept = cache.begin(
            _identity(served, spoken.dialect, view), handshake.fingerprint, TOLERANCE_NATS
        )
    except BaseException:
        cache.close()
        raise
    asker.watch = handshake.verify
    client.quote = False
    if spoken.dialect.tells_prompts:
        return ServerLanguageModel(asker, handshake, view, spoken.framing)
    return TopKServerModel(asker, handshake, view, spoken.framing)


def _identity(served: Served, dialect: Dialect, view: TokenView) -> tuple[str, ...]:
    """What replies depend on besides the prompt and the weights."""
    vocabulary = hashlib.sha256(repr(list(view.token_bytes)).encode()).hexdigest()
    how = f"{dialect.name} {dialect.lists} {dialect.chooses}"
    return served.url, served.model, how, vocabulary


def _check_options(options: ModelOptions) -> None:
    """Refuse options that a server would not heed although they change numbers."""
    if options.dtype != ModelOptions.dtype or options.source is not None:
        name = "--dtype" if options.source is None else "--source"
        raise UsageError(
            f"{name} cannot be used with a server.",
            "The server has loaded the model already, and computes in its own way.",
            f"Leave {name} out, or open the model in this process.",
        )
    if options.api not in ("auto", *SPEAKERS):
        raise UsageError(
            f"There is no server dialect {options.api!r}.",
            f"Known are auto, {', '.join(SPEAKERS)}.",
            "Use --api auto.",
        )
    if options.concurrency is not None and options.concurrency < 1:
        raise UsageError(
            "The number of requests under way is not usable.",
            f"concurrency must be at least 1, got {options.concurrency}.",
            "Leave --concurrency out, or give a small positive number.",
        )
    if not options.timeout_seconds > 0:
        raise UsageError(
            "The time for one request is not usable.",
            f"timeout must be above 0 seconds, got {options.timeout_seconds}.",
            "Leave --timeout out, or give a positive number of seconds.",
        )


def _identified(client: ServerClient, options: ModelOptions) -> tuple[Served, str | None]:
    """Which model is meant, and what the server says it loaded."""
    answer = client.get("/models")
    if answer.status in (404, 405) and not client.url.endswith("/v1"):
        client.url += "/v1"
        answer = client.get("/models")
    try:
        models = entry(answer.value, "data", list) if answer.fine else None
        known = {entry(model, "id", str): model for model in models or ()}
    except WrongAnswer:
        known = {}
    if not known:
        raise CouldNotMeasure(
            f"{client.url} is no model server, or has no model.",
            f"{client.url}/models answers with status {answer.status} and no list of models{said(answer.value)}.",
            "Give the address of an OpenAI-compatible API, which often ends in /v1.",
        )
    name = _chosen(list(known), options.server_model)
    about = known[name]
    software = str(about.get("owned_by") or "")
    names = {
        "vllm": "vLLM",
        "sglang": "SGLang",
        "llamacpp": "llama-server",
        "me": "llama-cpp-python",
    }
    context = about.get("max_model_len")
    root = about.get("root")
    return Served(
        url=client.url,
        model=name,
        software=names.get(software, software) or answer.server or "(unnamed software)",
        context=context if isinstance(context, int) and context > 0 else None,
    ), root if isinstance(root, str) else None


def _chosen(known: list[str], asked: str | None) -> str:
    listed = ", ".join(sorted(known)[:10]) + (", …" if len(known) > 10 else "")
    if asked is None and len(known) == 1:
        return known[0]
    if asked is None:
        raise UsageError(
            "The server has several models.", f"It has {listed}.", "Choose one with --model-name."
        )
    if asked not in known:
        raise UsageError(
            f"The server has no model {asked!r}.",
            f"It has {listed}.",
            "Choose one with --model-name.",
        )
    return asked
