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
    """The update that the settings ask for.

    Args:
        forward: The model.
        subject: What of it is trained.
        settings: What was asked.
        laid: The corpus, for the number of steps.
        processes: Who trains.
        records: Number of training records.
        progress: Told when δ is too large to mean anything.

    Raises:
        UsageError: Settings that private training cannot follow, or an ε that no noise reaches.
    """
    if settings.privacy is None:
        return PlainUpdate(
            forward,
            make_optimizer(settings, subject.trained.values()),
            processes=processes,
            clip=settings.gradient_clip,
            smoothing=settings.label_smoothing,
        )
    # opacus takes a second to import, and most trainings do without
    from secretaudit.training.private.accounting import default_delta, delta_warning
    from secretaudit.training.private.update import PrivateUpdate

    delta = settings.privacy.delta or default_delta(records)
    warning = delta_warning(delta, records)
    if warning:
        progress.announce(warning)
    return PrivateUpdate(
        forward,
        lambda parameters: make_optimizer(settings, parameters),
        settings=settings,
        processes=processes,
        sample_rate=min(settings.batch_size / records, 1.0),
        expected_batch_size=min(settings.batch_size, records),
        steps=settings.steps or settings.epochs * laid.training.steps_per_epoch,
        delta=delta,
    )
