"""How does your own network memorize? A network and data of one's own under a module of the suite, from Python.

A small convolutional network learns scikit-learn's digits. ``suite neighbours`` then asks whether it is a nearest-neighbour rule in its own embedding, for
true labels and for random ones.
"""

import tempfile
from pathlib import Path

from sklearn.datasets import load_digits
from torch import nn

import secretaudit
from secretaudit.suite.data.arrays import task_of_arrays
from secretaudit.suite.learner import Factory
from secretaudit.suite.neighbours.settings import NeighboursSettings
from secretaudit.suite.subject import ClassifierSubject

digits = load_digits()
place = tempfile.TemporaryDirectory()  # gone when the example ends


def make_network() -> nn.Module:
    """Any module from inputs to class scores, with random weights."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


if __name__ == "__main__":  # the suite starts processes of its own
    task = task_of_arrays(digits.images[:800] / 16, digits.target[:800], name="my digits")
    subject = ClassifierSubject(task=task, learner=Factory(make=make_network, name="my network"))
    settings = NeighboursSettings(
        parts=("agreement",), conditions=("true labels", "random labels"), seeds=2
    )
    record = secretaudit.run_suite("neighbours", subject, place.name, settings=settings)
    page = secretaudit.write_report([record], place.name)

    print(record.found["parts"]["agreement"]["sentence"])
    for ordering in record.found["orderings"]:
        print(
            {True: "holds:", False: "does not hold:", None: "not judged:"}[ordering["holds"]],
            ordering["claim"],
        )
    assert page == Path(place.name) / "report.html"
