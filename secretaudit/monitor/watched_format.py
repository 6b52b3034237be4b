"""One format of a ledger, made ready once and measured at every look.

What a look needs beside the weights does not change while a model trains: the token sequences of the secret space R (the token automaton)
and the canaries' texts. They are made once; a look puts the model of the moment beside them,

    cost(s)   = −Σ log2 p(x_i | x_1 … x_{i−1})          bits, of the record of each canary, by plain scoring
    exposure  = log2 |R| − log2 rank(cost)              bits, with its interval

A space of at most ``EXACT_UP_TO`` times as many secrets as a look may draw is enumerated, which is exact and costs about as many model steps
as the draws would; a larger one is ranked by one round of importance draws (``exposure.importance``), which prices all canaries of the
format at once and costs the same at every look. Both are the estimators of ``secretaudit.expose``, so the numbers are those that it
would give for the same weights. A model that prices whole texts only (a translation model whose source holds the secret) has no tree:
there, draws are uniform.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from secretaudit.canary.format import Format
from secretaudit.canary.ledger import Canary
from secretaudit.exposure.enumeration import enumeration
from secretaudit.exposure.estimate import Estimate, Question
from secretaudit.exposure.importance import TEMPERATURES, estimates, first_round
from secretaudit.exposure.measurement import priced
from secretaudit.exposure.sampling import sampling
from secretaudit.models.language_model import LanguageModel
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget, SecretTree
from secretaudit.tree.scored_space import ScoredSpace, SecretScorer
from secretaudit.tree.token_automaton import TokenAutomaton

#: Spaces of up to this many secrets per draw are enumerated instead.
EXACT_UP_TO = 8


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a canary stands at one look.

    Attributes:
        canary: The canary.
        cost_bits: Log-perplexity of its record; lower is more memorized.
        estimate: Its rank and exposure.
    """

    canary: Canary
    cost_bits: float
    estimate: Estimate


@dataclass(frozen=True, kw_only=True, eq=False)
class WatchedFormat:
    """A format with its canaries, ready to be measured under any weights of one architecture and tokenizer.

    Attributes:
        form: The format.
        canaries: Its canaries, controls among them.
        automaton: The token sequences of all its secrets; ``None`` where a model prices whole texts only.
    """

    form: Format
    canaries: tuple[Canary, ...]
    automaton: TokenAutomaton | None

    @classmethod
    def made_for(
        cls, form: Format, canaries: tuple[Canary, ...], model: LanguageModel | SecretScorer
    ) -> WatchedFormat:
        """Make a format ready for models with this tokenizer and framing.

        Raises:
            ModelError: The tokenizer cannot write the format, or the model cannot read texts as long as its canaries.
        """
        tree = None if isinstance(model, SecretScorer) else SecretTree(form, model)
        return cls(form=form, canaries=canaries, automaton=None if tree is None else tree.automaton)

    def measure(
        self, model: LanguageModel | SecretScorer, draws: int, rng: np.random.Generator
    ) -> list[Standing]:
        """Rank every canary under the weights as they are now.

        Args:
            model: With the tokenizer and framing of the one that this was made for.
            draws: Secrets drawn where the space is not enumerated.
            rng: The only source of randomness.

        Raises:
            ModelError: The model gives no usable probabilities.
            CouldNotMeasure: Two ways of pricing a canary disagree.
        """
        question = self._question(model)
        if question.size <= EXACT_UP_TO * draws:
            found = enumeration(question, Budget().meter(), SilentProgress())
        elif self.automaton is None:
            found = sampling(question, Budget(nodes=draws).meter(), rng, SilentProgress())
        else:
            meter = Budget().meter()
            sample = first_round(question, meter, rng, max(1, draws // len(TEMPERATURES)))
            found = estimates(question, sample, meter, math.inf)
        return [
            Standing(canary=canary, cost_bits=float(cost), estimate=estimate)
            for canary, cost, estimate in zip(self.canaries, question.costs, found, strict=True)
        ]

    def _question(self, model: LanguageModel | SecretScorer) -> Question:
        """The canaries with their costs under the model."""
        secrets = [canary.secret for canary in self.canaries]
        if isinstance(model, SecretScorer):
            space = ScoredSpace(self.form, model)
            return Question(space=space, secrets=secrets, costs=space.score(secrets))
        return priced(SecretTree(self.form, model, automaton=self.automaton), secrets)
