"""How a model is to be opened: what the command line asks of every backend, in one place.

Each option means something to some kinds of model and nothing to others; ``load_model`` refuses an option that the kind of model
at hand would silently ignore, where ignoring it would change a number.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Options of ``load_model``.

    Attributes:
        device: Where to compute, in torch's words ("cpu", "cuda", "cuda:1").
        dtype: Of the weights and products: "float32", "bfloat16" or "float16"; log-softmax is always float32.
        allow_pickle: Open pickled weights; runs whatever code is in them.
        bos: Whether a begin-of-text token is read before a text: "auto" (what the tokenizer does, and a token that can serve as
            one where it adds none), "on" or "off" (the first token of the text is then given and not charged).
        close: Whether the end-of-text token is charged after a text: "auto" (as the model was trained, where that is
            known; otherwise not), "on" or "off".
        chat: A user's message; the canary is then the assistant's answer, rendered with the model's chat template.
        source: Encoder–decoder models: the source text; ``{secret}`` in it stands for the secret.
        tokenizer: Directory of the tokenizer, where the model brings none (a server, a GGUF file).
        server_model: Name under which a server knows the model.
        api: Dialect of a server: "auto", "vllm", "echo", "sglang" or "top-k".
        concurrency: Requests under way at a time; ``None`` lets the client choose.
        timeout_seconds: Of one request.
        reply_cache: File in which replies of a server are kept; ``None`` takes the user's cache directory.
    """

    device: str = "cpu"
    dtype: str = "float32"
    allow_pickle: bool = False
    bos: str = "auto"
    close: str = "auto"
    chat: str | None = None
    source: str | None = None
    tokenizer: str | None = None
    server_model: str | None = None
    api: str = "auto"
    concurrency: int | None = None
    timeout_seconds: float = 60.0
    reply_cache: str | None = None
