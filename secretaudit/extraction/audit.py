"""Bringing secrets out of a model: the public function ``extract``.

Exposure is a test, extraction is the attack that it predicts: with the text before the hole and black-box access to next-token
probabilities, which secrets of the format does the model prefer? Each result says how many queries it took, to be held against
the |R| that trying everything would take, and whether a canary of the ledger came out, and at which place.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from secretaudit._checks import at_least, one_of
from secretaudit.audited import Audited, ModelLike, announce_cost, open_audited
from secretaudit.canary.format import Format, parse_format
from secretaudit.canary.ledger import Canary, Ledger
from secretaudit.errors import UsageError
from secretaudit.extraction.beam import beam
from secretaudit.extraction.found import Found
from secretaudit.extraction.sampling import Decoding, sampling
from secretaudit.extraction.segmented import segmented_shortest_path, segmented_tree
from secretaudit.extraction.shortest_path import shortest_path
from secretaudit.models.model_options import ModelOptions
from secretaudit.progress import Progress, SilentProgress
from secretaudit.records import Record, environment, mask
from secretaudit.tree import Budget, Memory, SecretTree
from secretaudit.tree.best_first import Leaf
from secretaudit.tree.budget import Meter
from secretaudit.tree.scored_space import SecretScorer
from secretaudit.tree.segmentations import SegmentationTree

METHODS = ("shortest-path", "beam", "sampling")
#: What a search says of a model that lists only its likeliest tokens.
UNLISTED = "Secrets spelled with tokens that the server does not list were not searched, so nothing is proven."
SEGMENTATIONS = ("canonical", "best", "marginal")
#: Nodes that a search may read when no budget is given.
DEFAULT_BUDGET = Budget(nodes=2_000_000)


def extract(
    model: ModelLike,
    *,
    format: str | Format,
    canaries: str | Path | Ledger | None = None,
    method: str = "shortest-path",
    top: int = 10,
    budget: str | float | Budget | None = None,
    memory: str | int | Memory = "2GiB",
    width: int = 100,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    segmentation: str = "canonical",
    options: ModelOptions | None = None,
    reveal: bool = False,
    progress: Progress | None = None,
) -> Record:
    """Search a model for the secrets of a format.

    Args:
        model: A model directory, a PEFT adapter, a GGUF file, a name on the hub, the address of a server, or anything that
            follows ``LanguageModel``.
        format: A format of the ledger, of the library, an inline template or a ``Format``.
        canaries: A ledger to look the results up in; by default the one that the model was trained with, if any.
        method: ``shortest-path`` (proves its answer), ``beam`` or ``sampling``.
        top: How many secrets are wanted.
        budget: Seconds (``"60s"``) or nodes (``"1000000"``); by default 2,000,000 nodes.
        memory: Bytes that the search may hold, e.g. ``"2GiB"``.
        width: Prefixes that a beam keeps per level.
        temperature: Sampling: > 0.
        top_k: Sampling: keep the k likeliest tokens.
        top_p: Sampling: keep the likeliest tokens up to this probability.
        seed: Of the draws.
        segmentation: ``canonical`` (as the tokenizer cuts a text), ``best`` (the cheapest way) or ``marginal`` (all ways
            together); see ``expose``.
        options: How the model is to be opened: device, dtype, server, chat template (``ModelOptions``).
        reveal: Put the secrets into the record in plain.
        progress: Is told how far the search is.

    Returns:
        A record of kind ``extraction``: ``found.secrets`` in the order of the search, ``found.queries`` against
        ``found.size``, and ``found.canaries`` with the place of each inserted canary that came out.

    Raises:
        ModelError: The model cannot be loaded or gives no usable probabilities.
        UsageError: An unknown format or method, an empty budget, decoding options without meaning.
    """
    started = time.time()
    one_of("method", method, METHODS)
    one_of("segmentation", segmentation, SEGMENTATIONS)
    at_least("top", top, 1)
    at_least("width", width, 1)
    decoding = Decoding(temperature=temperature, top_k=top_k, top_p=top_p)
    limit = DEFAULT_BUDGET if budget is None else Budget.parse(budget)
    how = options or ModelOptions()
    audited = open_audited(model, canaries, options=how)
    tree = _tree(audited, _format(format, audited), segmentation, method, Memory.parse(memory))
    meter = limit.meter()
    watch = progress or SilentProgress()
    announce_cost(tree, limit, watch)
    match method:
        case "shortest-path" if isinstance(tree, SegmentationTree):
            found = segmented_shortest_path(tree, top=top, meter=meter, progress=watch)
        case "shortest-path":
            found = shortest_path(tree, top=top, meter=meter, progress=watch)
        case "beam":
            found = beam(tree, top=top, width=max(width, top), meter=meter, progress=watch)
        case _:
            rng = np.random.default_rng(seed)
            found = sampling(tree, top=top, decoding=decoding, meter=meter, rng=rng, progress=watch)
    if hasattr(audited.model, "bounds"):
        found = replace(found, proven=0, bound_bits=None, note=f"{found.note} {UNLISTED}".strip())
    verify = getattr(audited.model, "verify", None)
    if callable(verify):
        verify()
    return Record(
        kind="extraction",
        asked={
            "model": audited.name,
            "canaries": audited.ledger_path,
            "format": tree.form.name,
            "template": tree.form.template,
            "method": method,
            "top": top,
            "width": width if method == "beam" else None,
            "temperature": temperature if method == "sampling" else None,
            "top_k": top_k,
            "top_p": top_p,
            "budget_nodes": limit.nodes,
            "budget_seconds": limit.seconds,
            "seed": seed,
            "reveal": reveal,
            "segmentation": segmentation,
            **asdict(how),
        },
        found=_result(tree, found, audited.ledger, meter, reveal),
        environment=environment(seed=seed, started=started, device=how.device),
    )


def _tree(
    audited: Audited, form: Format, segmentation: str, method: str, memory: Memory
) -> SecretTree:
    """The tree that is searched.

    Raises:
        UsageError: The model prices whole texts only, or the method does not know this segmentation.
    """
    model = audited.model
    if isinstance(model, SecretScorer):
        raise UsageError(
            f"The model {model.name!r} prices whole texts only.",
            "A search asks for the next token's probabilities after a prefix.",
            "Measure exposure instead, or fix the source text.",
        )
    if segmentation != "canonical":
        if method != "shortest-path":
            raise UsageError(
                f"--method {method} searches the tokenizer's own segmentation only.",
                f"--segmentation {segmentation} was asked for.",
                "Use --method shortest-path.",
            )
        return segmented_tree(form, model, segmentation=segmentation, memory=memory)
    bounds = getattr(model, "bounds", None)
    if bounds is not None:
        return SecretTree(form, bounds[1], memory=memory, charge_shared=False)
    return SecretTree(form, model, memory=memory)


def _format(form: str | Format, audited: Audited) -> Format:
    """A format of the ledger by its name, or whatever the library makes of it."""
    if isinstance(form, Format):
        return form
    if audited.ledger is not None and form in audited.ledger.formats:
        return audited.ledger.formats[form]
    return parse_format(form)


def _result(
    tree: SecretTree, found: Found, ledger: Ledger | None, meter: Meter, reveal: bool
) -> dict[str, Any]:
    """The ``found`` part of the record."""
    known = _canaries_of(tree.form, ledger)
    secrets = [tree.secret(leaf.tokens) for leaf in found.leaves]
    rows = [
        _row(place, secret, leaf, found, known.get(secret), reveal)
        for place, (secret, leaf) in enumerate(zip(secrets, found.leaves, strict=True), start=1)
    ]
    places = {row["canary"]: row["place"] for row in rows if row["canary"] is not None}
    return {
        "format": tree.form.name,
        "size": str(tree.form.size),
        "bits": tree.form.bits,
        "queries": found.queries,
        "queries_saved_bits": tree.form.bits - math.log2(max(1, found.queries)),
        "draws": found.draws,
        "proven": found.proven,
        "bound_bits": found.bound_bits,
        "complete": found.complete,
        "note": found.note,
        "seconds": round(meter.seconds, 3),
        "secrets": rows,
        "canaries": [
            {"id": c.id, "insertions": c.insertions, "place": places.get(c.id)}
            for c in known.values()
            if not c.is_control or c.id in places
        ],
    }


def _canaries_of(form: Format, ledger: Ledger | None) -> dict[str, Canary]:
    """Canaries of this very space, by secret."""
    if ledger is None:
        return {}
    same = {n for n, f in ledger.formats.items() if f.template == form.template}
    return {c.secret: c for c in ledger.canaries if c.format in same}


def _row(
    place: int, secret: str, leaf: Leaf, found: Found, canary: Canary | None, reveal: bool
) -> dict[str, Any]:
    return {
        "place": place,
        "secret": secret if reveal else mask(secret),
        "log_perplexity_bits": leaf.cost,
        "times": found.times[place - 1],
        "proven": place <= found.proven,
        "canary": None if canary is None else canary.id,
        "insertions": None if canary is None else canary.insertions,
    }
