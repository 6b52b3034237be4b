"""Keep the progress bars and warnings of transformers off the terminal: what matters of them is refused by us."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging


@contextmanager
def no_warnings() -> Iterator[None]:
    """No warnings of transformers inside the block: for passes through a model."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings and no progress bars inside the block: for reading files."""
    bars = logging.is_progress_bar_enabled()
    with no_warnings(), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # an environment variable that decides about bars is warned of
        logging.disable_progress_bar()
        try:
            yield
        finally:
            if bars:
                logging.enable_progress_bar()
