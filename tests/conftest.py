"""What all tests share: no network, repeatable property tests, and the real corpora when they are there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

settings.register_profile("repeatable", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("repeatable")

# Caches of tests do not go where the user's are; commands that tests start inherit the place.
_CACHE = tempfile.TemporaryDirectory(prefix="secretaudit-tests-")
os.environ["SECRETAUDIT_CACHE"] = _CACHE.name

_VARIABLE = "SECRETAUDIT_DATA"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs real corpora when there are none, and say so."""
    if Path(os.environ.get(_VARIABLE) or "/nowhere").is_dir():
        return
    absent = pytest.mark.skip(reason=f"{_VARIABLE} does not name a directory with the real corpora")
    for item in items:
        if "data" in item.keywords:
            item.add_marker(absent)


@pytest.fixture
def data_directory() -> Path:
    """The directory of the real corpora; only for tests marked ``data``."""
    return Path(os.environ[_VARIABLE])
