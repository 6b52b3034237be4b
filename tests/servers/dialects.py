"""How real servers answer, in our own words: the shapes of their JSON and the oddities that were seen in them.

vllm                token ids or texts, ``prompt_logprobs`` keyed by id, at most 20 listed tokens, ``logprob_token_ids`` in newer versions
llama-cpp-python    one text, ``echo``; **prices shifted by one place when no begin-of-text token is added**; no list when the text ends at once
echo                texts, ``echo``, right prices: what an OpenAI-compatible server should say
sglang              ``/generate``: triples of (ln p, id, text)
transformers-serve  takes every field and heeds neither ``echo`` nor ``logprobs``, with status 200
top-k               next tokens only, by text
llama-server        next tokens only, by id (``/completion``)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.servers.engine import Engine

Json = dict[str, Any]
Reply = tuple[int, Any]
MOST_LISTED = 20


def models(owner: str, name: str, **more: Any) -> Json:
    """The answer of ``/v1/models``."""
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "owned_by": owner, **more}],
    }


def refused(status: int, message: str) -> Reply:
    """An error in OpenAI's shape."""
    return status, {"error": {"message": message, "type": "invalid_request_error", "code": status}}


def encoded(engine: Engine, text: str, special: bool) -> list[int]:
    """Token ids of a text."""
    ids: list[int] = engine.tokenizer.encode(text, add_special_tokens=special)
    return ids


def prompts_of(engine: Engine, body: Json) -> list[list[int]]:
    """The prompts of a completions request as token ids."""
    prompt = body["prompt"]
    if isinstance(prompt, str) or (prompt and isinstance(prompt[0], int)):
        prompt = [prompt]
    special = bool(body.get("add_special_tokens", True))
    return [encoded(engine, p, special) if isinstance(p, str) else p for p in prompt]


def vllm(engine: Engine, body: Json, *, chooses: bool, most_listed: int = MOST_LISTED) -> Reply:
    """``/v1/completions`` of vLLM."""
    prompts, temperature = prompts_of(engine, body), float(body.get("temperature", 1.0))
    listed = body.get("logprobs")
    if max(map(len, prompts)) + 1 > engine.context:
        return refused(400, f"This model's maximum context length is {engine.context} tokens.")
    if listed is not None and not 0 <= listed <= most_listed:
        return refused(400, f"Requested logprobs of {listed}, which is greater than max allowed")
    own = engine.own(prompts, temperature) if body.get("prompt_logprobs") is not None else None
    tables = engine.following(prompts, temperature) if listed is not None else None
    choices = []
    for i, prompt in enumerate(prompts):
        choice: Json = {"index": i, "text": "?", "finish_reason": "length", "logprobs": None}
        choice["prompt_logprobs"] = own and [
            None,
            *(
                {str(t): {"logprob": v, "rank": 1, "decoded_token": "?"}}
                for t, v in zip(prompt[1:], own[i], strict=True)
            ),
        ]
        if tables is not None:
            wanted = body.get("logprob_token_ids") if chooses else None
            choice["logprobs"] = _vllm_listed(engine, tables[i], listed, wanted, body)
        if body.get("return_token_ids"):
            choice["prompt_token_ids"] = prompt
        choices.append(choice)
    return 200, {"object": "text_completion", "choices": choices}


def _vllm_listed(
    engine: Engine, table: torch.Tensor, count: int, wanted: list[int] | None, body: Json
) -> Json:
    """The likeliest next tokens, or chosen ones, and always the one that was generated (here the likeliest)."""
    best = int(table.argmax())
    ids = wanted if wanted else table.topk(max(1, count)).indices.tolist()
    ids = list(dict.fromkeys([best, *ids]))

    def name(token: int) -> str:
        by_id = body.get("return_tokens_as_token_ids")
        return f"token_id:{token}" if by_id else engine.tokenizer.decode([token])

    return {
        "tokens": [name(best)],
        "token_logprobs": [float(table[best])],
        "top_logprobs": [{name(token): float(table[token]) for token in ids}],
        "text_offset": [0],
    }


def echo(
    engine: Engine, body: Json, *, bos: bool, batches: bool, shifted: bool, hides_bos: bool
) -> Reply:
    """``/v1/completions`` with ``echo``; as llama-cpp-python does it when ``shifted`` or ``hides_bos``."""
    prompt = body["prompt"]
    if not isinstance(prompt, str) and not (batches and all(isinstance(p, str) for p in prompt)):
        return refused(500, "validation errors: Input should be a valid string")
    texts = [prompt] if isinstance(prompt, str) else prompt
    choices, read = [], 0
    for i, text in enumerate(texts):
        ids = encoded(engine, text, False)
        start = engine.tokenizer.bos_token_id
        ids = [start, *ids] if bos else ids
        read += len(ids)
        choices.append({"index": i, **_echoed(engine, ids, body, shifted, bos and hides_bos)})
    return 200, {"choices": choices, "usage": {"prompt_tokens": read}}


def _echoed(engine: Engine, ids: list[int], body: Json, shifted: bool, hidden: bool) -> Json:
    """One choice: the prompt's tokens (with ``echo``), then the one that was generated."""
    tokenizer, count = engine.tokenizer, body.get("logprobs")
    tables = engine.everywhere(ids, float(body.get("temperature", 1.0)))
    generated = int(tables[-1].argmax())
    ends = generated == tokenizer.eos_token_id
    shown = ids[1:] if hidden else ids
    tokens = ([*shown] if body.get("echo") else []) + ([] if ends else [generated])
    behind = tables if shifted or hidden else torch.cat([tables[:1], tables])
    rows = behind[: len(tokens)] if body.get("echo") else tables[-1:]
    entries = list(zip(tokens, rows, strict=False))
    text = tokenizer.decode(ids if body.get("echo") else []) + tokenizer.decode([generated])
    if count is None:
        return {"text": text, "logprobs": None, "finish_reason": "stop" if ends else "length"}
    told: Json = {
        "tokens": [tokenizer.decode([token]) for token, _ in entries],
        "token_logprobs": [float(row[token]) for token, row in entries],
        "top_logprobs": [
            {tokenizer.decode([t]): float(row[t]) for t in row.topk(count).indices.tolist()[::-1]}
            for _, row in entries
        ],
    }
    if body.get("echo"):
        told["token_logprobs"][:1] = [None]
        told["top_logprobs"][:1] = [None]
    return {"text": text, "logprobs": told, "finish_reason": "stop" if ends else "length"}


def sglang(engine: Engine, body: Json) -> Reply:
    """``/generate`` of SGLang: a list for a list."""
    prompts = [encoded(engine, body["text"], True)] if "text" in body else body["input_ids"]
    temperature = float(body.get("sampling_params", {}).get("temperature", 1.0))
    own = engine.own(prompts)
    wanted, listed = body.get("token_ids_logprob"), body.get("top_logprobs_num", 0)
    replies = []
    for i, prompt in enumerate(prompts):
        last = torch.log_softmax(engine.following([prompt])[0] / temperature, dim=0)
        about: Json = {
            "prompt_tokens": len(prompt),
            "input_token_logprobs": [
                [v, t, None] for v, t in zip([None, *own[i]], prompt, strict=True)
            ],
            "output_token_logprobs": [[float(last.max()), int(last.argmax()), None]],
            "output_top_logprobs": [
                [[float(last[t]), t, None] for t in last.topk(max(1, listed)).indices.tolist()]
            ],
        }
        if wanted:
            rows = engine.everywhere(prompt)[:-1]
            about["input_token_ids_logprobs"] = [
                None,
                *([[float(row[t]), t, None] for t in wanted[i]] for row in rows),
            ]
        replies.append({"text": "?", "meta_info": about})
    return 200, replies if "text" not in body else replies[0]


def transformers_serve(engine: Engine, body: Json) -> Reply:
    """A completion, and none of what else was asked for."""
    return 200, {
        "choices": [{"index": 0, "text": "?", "logprobs": None, "finish_reason": "length"}]
    }


def top_k(engine: Engine, body: Json, *, most_listed: int = 5, takes_ids: bool = False) -> Reply:
    """The likeliest next tokens of one text."""
    prompt = body["prompt"]
    if not isinstance(prompt, str) and not (takes_ids and isinstance(prompt[0], int)):
        return refused(400, "prompt must be a string")
    count = body.get("logprobs")
    if count is not None and count > most_listed:
        return refused(400, f"logprobs must be at most {most_listed}")
    ids = encoded(engine, prompt, False) if isinstance(prompt, str) else prompt
    (table,) = engine.following([ids], float(body.get("temperature", 1.0)))
    best = table.topk(count or 1).indices.tolist()
    names = {engine.tokenizer.decode([t]): float(table[t]) for t in best}
    told = {
        "tokens": list(names)[:1],
        "token_logprobs": [max(names.values())],
        "top_logprobs": [names],
    }
    choice = {"index": 0, "text": "?", "logprobs": told if count else None}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": len(ids)}}


def llama_server(engine: Engine, body: Json) -> Reply:
    """``/completion`` of llama-server."""
    prompt = body["prompt"]
    (table,) = engine.following([prompt], float(body.get("temperature", 1.0)))
    best = table.topk(min(body["n_probs"], len(table))).indices.tolist()
    listed = [
        {"id": t, "token": engine.tokenizer.decode([t]), "logprob": float(table[t])} for t in best
    ]
    return 200, {
        "tokens_evaluated": len(prompt),
        "completion_probabilities": [{**listed[0], "top_logprobs": listed}],
    }


def routes(engine: Engine, dialect: str) -> dict[str, Callable[[Json], Reply]]:
    """What each path of a server answers; ``GET`` has the empty body."""
    name, root, context = "tiny", engine.directory, engine.context
    listed: dict[str, Callable[[Json], Reply]] = {}

    def owned(owner: str, **more: Any) -> None:
        listed["/v1/models"] = lambda _: (200, models(owner, name, **more))

    def tokenize(body: Json) -> Reply:
        text = body.get("prompt", body.get("content", ""))
        special = bool(body.get("add_special_tokens", body.get("add_special", True)))
        return 200, {"tokens": encoded(engine, text, special)}

    completions = "/v1/completions"
    if dialect in ("vllm", "vllm-old", "vllm-all"):
        owned("vllm", root=root, max_model_len=context)
        most = engine.vocabulary if dialect == "vllm-all" else MOST_LISTED
        listed[completions] = lambda body: vllm(
            engine, body, chooses=dialect == "vllm", most_listed=most
        )
        listed["/tokenize"] = tokenize
    elif dialect in ("echo", "echo-bos", "llama-cpp", "llama-cpp-bos"):
        owned("me" if "llama" in dialect else "somebody")
        bos, llama = dialect.endswith("-bos"), dialect.startswith("llama")
        listed[completions] = lambda body: echo(
            engine, body, bos=bos, batches=not llama, shifted=llama and not bos, hides_bos=llama
        )
    elif dialect == "sglang":
        owned("sglang", root=root, max_model_len=context)
        listed["/generate"] = lambda body: sglang(engine, body)
    elif dialect == "transformers-serve":
        owned("huggingface")
        listed[completions] = lambda body: transformers_serve(engine, body)
    elif dialect in ("top-k", "top-k-ids"):
        owned("somebody")
        ids = dialect == "top-k-ids"
        listed[completions] = lambda body: top_k(engine, body, takes_ids=ids)
    elif dialect == "llama-server":
        owned("llamacpp")
        listed["/completion"] = lambda body: llama_server(engine, body)
        listed["/tokenize"] = tokenize
    elif dialect == "no-completions":
        owned("somebody")
    else:
        raise ValueError(f"no dialect {dialect!r}")
    return listed


DIALECTS = (
    "vllm", "vllm-old", "vllm-all", "echo", "echo-bos", "llama-cpp", "llama-cpp-bos", "sglang", "transformers-serve",
    "top-k", "top-k-ids", "llama-server", "no-completions",
)  # fmt: skip
