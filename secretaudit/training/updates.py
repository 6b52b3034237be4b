"""Which update a training uses: the plain one, or the private one."""

from __future__ import annotations

from secretaudit.progress import Progress
from secretaudit.training.layout import Laid
from secretaudit.training.optimizer import make_optimizer
from secretaudit.training.processes import Processes
from secretaudit.training.settings import TrainingSettings
from secretaudit.training.subject import Subject
from secretaudit.training.update import Forward, PlainUpdate, Update


def make_update(
    forward: Forward,
    subject: Subject,
    settings: TrainingSettings,
    laid: Laid,
    processes: Processes,
    *,
    records: int,
    progress: Progress,
) -> Update:
    """The update that the settings ask for."""
    return PlainUpdate(
        forward,
        make_optimizer(settings, subject.trained.values()),
        processes=processes,
        clip=settings.gradient_clip,
        smoothing=settings.label_smoothing,
    )
