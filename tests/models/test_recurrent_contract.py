"""Recurrent models, models of one function and the fakes of these tests keep the contract of ``LanguageModel``."""

from __future__ import annotations

import pytest

from secretaudit.models.language_model import LanguageModel
from secretaudit.models.recurrent.language_model import RecurrentLanguageModel
from tests.fakes import CharacterView, HistoryModel, uniform_model

from .conftest import make_model
from .contract import LanguageModelContract


class TestRecurrent(LanguageModelContract):
    """The contract over our own models."""

    @pytest.fixture(params=["lstm", "gru"])
    def model(self, request: pytest.FixtureRequest) -> LanguageModel:
        return RecurrentLanguageModel(make_model(cell=request.param), None, separator=0)


class TestFakes(LanguageModelContract):
    """The contract over the models that most tests of trees use."""

    @pytest.fixture(params=[HistoryModel, uniform_model])
    def model(self, request: pytest.FixtureRequest) -> LanguageModel:
        return request.param(CharacterView("0123456789abcdef"))

    def test_ids_that_the_model_lacks_are_refused(self, model: LanguageModel) -> None:
        """Fakes look ids up in a table, which has no such entry."""
        with pytest.raises(IndexError):
            model.score([[0, model.vocabulary_size]])
