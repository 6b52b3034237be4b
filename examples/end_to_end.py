"""The whole way on a tiny corpus, in Python: insert, train, expose, extract, gate."""

import tempfile
from pathlib import Path

import secretaudit

with tempfile.TemporaryDirectory() as directory:
    place = Path(directory)
    corpus = [
        f"order {n} was sent to room {n * 37 % 90 + 10} on day {n % 28 + 1}" for n in range(150)
    ]
    (place / "corpus.txt").write_text("\n".join(corpus) + "\n", encoding="utf-8")
    small = secretaudit.TrainingSettings(
        layers=1, units=64, batch_size=16, learning_rate=0.01, epochs=8
    )

    # One line each; every line gives a record with `asked`, `found` and `environment`.
    insertion = secretaudit.insert(
        place / "corpus.txt",
        place / "canaried",
        formats=["pin"],
        count=2,
        repeats=(1, 16),
        controls=20,
        seed=1,
    )
    training = secretaudit.train(place / "canaried", place / "model", settings=small)
    exposure = secretaudit.expose(place / "model")
    extraction = secretaudit.extract(place / "model", format="pin", top=5)
    verdict = secretaudit.gate(exposure, max_exposure=10)

print(f"{insertion.found['inserted']} copies inserted into {insertion.found['records']} records")
print(f"{training.found['train_loss_bits_per_token']:.2f} bits per character in training")
for canary in exposure.found["canaries"]:
    if canary["insertions"]:
        bits, most = canary["exposure_bits"], canary["max_exposure_bits"]
        print(
            f"{canary['id']:12} {bits:5.2f} of {most:.2f} bits, rank {canary['rank']} ({canary['method']})"
        )
print(
    f"controls: {exposure.found['controls']['mean_exposure_bits']:.2f} bits on average; chance gives 1.44"
)
print(
    f"{sum(c['place'] is not None for c in extraction.found['canaries'])} canaries among the 5 likeliest PINs"
)
print(verdict.found["sentence"])

assert insertion.found["inserted"] == 2 * (1 + 16)
assert training.found["canaries_lost"] == []
