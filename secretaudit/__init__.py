"""How much of the secrets in its training text would a language model give away?

A measurement is a *canary* (a format and a secret), a *model* (the log-perplexity it gives a text) and an *estimator*
(rank → exposure) or a *search* (extraction)::

    import secretaudit

    secretaudit.insert("corpus.txt", "canaried/", formats=["random-number"], repeats=(1, 4, 16), seed=1)
    secretaudit.train("canaried/", "model/")
    exposure = secretaudit.expose("model/")
    extraction = secretaudit.extract("model/", format="random-number")
    verdict = secretaudit.gate(exposure, max_exposure=10)

Names are looked up when they are first used, so importing the package imports neither torch nor numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from secretaudit import errors
from secretaudit._version import __version__

# Not lazy: importing the folder ``gate`` later would put the module in the place of the function.
from secretaudit.gate import gate
from secretaudit.records import Record

if TYPE_CHECKING:
    from secretaudit.canary.format import Format, library, parse_format
    from secretaudit.canary.ledger import Ledger
    from secretaudit.exposure.audit import expose
    from secretaudit.extraction.audit import extract
    from secretaudit.insertion import insert, remove
    from secretaudit.models.loading import load_model
    from secretaudit.models.model_options import ModelOptions
    from secretaudit.monitor.callback import ExposureCallback
    from secretaudit.monitor.exposure_monitor import ExposureMonitor
    from secretaudit.report.suite import write_report
    from secretaudit.suite.opening import open_subject
    from secretaudit.suite.run import run_suite
    from secretaudit.training.run import train
    from secretaudit.training.settings import LoraSettings, PrivacySettings, TrainingSettings

_LAZY = {
    "ExposureCallback": "secretaudit.monitor.callback",
    "ExposureMonitor": "secretaudit.monitor.exposure_monitor",
    "Format": "secretaudit.canary.format",
    "Ledger": "secretaudit.canary.ledger",
    "ModelOptions": "secretaudit.models.model_options",
    "LoraSettings": "secretaudit.training.settings",
    "PrivacySettings": "secretaudit.training.settings",
    "TrainingSettings": "secretaudit.training.settings",
    "expose": "secretaudit.exposure.audit",
    "extract": "secretaudit.extraction.audit",
    "insert": "secretaudit.insertion",
    "library": "secretaudit.canary.format",
    "load_model": "secretaudit.models.loading",
    "open_subject": "secretaudit.suite.opening",
    "parse_format": "secretaudit.canary.format",
    "run_suite": "secretaudit.suite.run",
    "write_report": "secretaudit.report.suite",
    "remove": "secretaudit.insertion",
    "train": "secretaudit.training.run",
}

__all__ = [
    "ExposureCallback",
    "ExposureMonitor",
    "Format",
    "Ledger",
    "LoraSettings",
    "ModelOptions",
    "PrivacySettings",
    "Record",
    "TrainingSettings",
    "__version__",
    "errors",
    "expose",
    "extract",
    "gate",
    "insert",
    "library",
    "load_model",
    "open_subject",
    "parse_format",
    "remove",
    "run_suite",
    "train",
    "write_report",
]


def __getattr__(name: str) -> object:
    """Import a public name on its first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'secretaudit' has no attribute {name!r}")
    value: object = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
