"""Naive twins: what walks and estimators must agree with, by listing all secrets and counting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from secretaudit.canary.format import Format, parse_format
from secretaudit.canary.ledger import Canary, Ledger
from secretaudit.exposure.estimate import Question
from secretaudit.tree import SecretTree
from tests.fakes import CharacterView, HistoryModel

ALPHABET = "abcdefghijklmnopqrstuvwxyz 0123456789.-"
#: Two costs in bits that are closer than this are one cost: the definition that the records name.
TOLERANCE = 1e-3
SALT = "00112233445566778899aabbccddeeff"


def history_model(
    form: Format, memorized: dict[str, float] | None = None, **options: float
) -> HistoryModel:
    """A model with probabilities that depend on the whole history, and some secrets made likely."""
    model = HistoryModel(CharacterView(ALPHABET), **options)  # type: ignore[arg-type]
    for secret, logit in (memorized or {}).items():
        model.memorize(record_tokens(model, form, secret), logit)
    return model


def record_tokens(model: HistoryModel, form: Format, secret: str) -> list[int]:
    """The record of a secret as the model reads it, separators included."""
    return [0, *model.tokenizer.encode([form.render(secret)])[0], 0]  # type: ignore[attr-defined]


def question(
    template: str,
    secrets: Sequence[str] = (),
    memorized: dict[str, float] | None = None,
    **options: float,
) -> Question:
    """The canaries of one format under a fresh model."""
    form = parse_format(template)
    tree = SecretTree(form, history_model(form, memorized, **options))
    return Question(space=tree, secrets=list(secrets), costs=tree.score(list(secrets)))


def all_secrets(form: Format) -> list[str]:
    """Every secret of a small space, in the order of the automaton."""
    return form.automaton.unrank_many(np.arange(form.size))


def all_costs(tree: SecretTree) -> NDArray[np.float64]:
    """Cost of every secret, one by one and token by token, in plain Python."""
    model: HistoryModel = tree.model  # type: ignore[assignment]
    return np.array(
        [model.cost(record_tokens(model, tree.form, s)) for s in all_secrets(tree.form)]
    )


def with_secrets_of_ranks(asked: Question, ranks: Sequence[int]) -> tuple[Question, list[int]]:
    """The same question about the secrets that stand at these places, and their ranks with ties against them."""
    costs = all_costs(asked.tree)
    order = np.argsort(costs, kind="stable")
    secrets = [all_secrets(asked.tree.form)[order[r - 1]] for r in ranks]
    truth = [int((costs <= costs[order[r - 1]] + TOLERANCE).sum()) for r in ranks]
    return Question(space=asked.tree, secrets=secrets, costs=asked.tree.score(secrets)), truth


def ledger_of(
    forms: Sequence[Format], secrets: Sequence[tuple[str, str, int]], seed: int = 0
) -> Ledger:
    """A ledger with canaries (format, secret, insertions) in the given order."""
    formats = {form.name: form for form in forms}
    canaries = tuple(
        Canary(
            id=f"{name}-{insertions}x-{number:03}",
            format=name,
            secret=secret,
            text=formats[name].render(secret),
            insertions=insertions,
        )
        for number, (name, secret, insertions) in enumerate(secrets)
    )
    return Ledger(seed=seed, formats=formats, canaries=canaries, corpus={}, salt=SALT)
