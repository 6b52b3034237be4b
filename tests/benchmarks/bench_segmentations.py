"""The cheapest 6-digit secret over all segmentations, in a cold process: ours beside a short prototype with plain transformers.

``python -m tests.benchmarks.bench_segmentations [RUNS]`` with SECRETAUDIT_DATA naming the directory of the real models. Each run is a
fresh process, from the start of Python to the answer; the contenders take turns. Passes are calls of the model. Both must find the same secret
at the same cost. The figures wanted are those of another machine: 32 passes and 2.4 s for a prototype, 7,070 and 21.9 s for ReLM.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.timing import row

PREFIX, DIGITS, AT_ONCE = "my pin is", 6, 256


def prototype(directory: str) -> dict[str, Any]:
    """Dijkstra over (text so far, tokens so far), 256 prefixes to a pass, whole sequences each time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory).eval()
    spelled = {i: tokenizer.decode([i]) for i in range(len(tokenizer))}
    fits: list[list[int]] = []  # by length of the text so far: a space, then digits
    for have in range(DIGITS + 1):
        room = [t for t, s in spelled.items() if s and len(s) <= DIGITS + 1 - have]
        fits.append([t for t in room if _goes_on(spelled[t], first=have == 0)])
    prompt = [tokenizer.bos_token_id, *tokenizer.encode(PREFIX)]
    heap: list[tuple[float, str, tuple[int, ...]]] = [(0.0, "", ())]
    best, answer, passes = float("inf"), "", 0
    while heap and heap[0][0] < best:
        batch = [heapq.heappop(heap) for _ in range(min(AT_ONCE, len(heap)))]
        longest = max(len(tokens) for _, _, tokens in batch)
        ids = torch.tensor([[*prompt, *t, *([0] * (longest - len(t)))] for _, _, t in batch])
        with torch.inference_mode():
            logits = model(ids).logits[:, len(prompt) - 1 :].float()
        log_p = torch.log_softmax(logits, dim=-1).numpy() / -math.log(2)
        passes += 1
        for (cost, text, tokens), table in zip(batch, log_p, strict=True):
            allowed = fits[len(text)]
            costs = cost + table[len(tokens)][allowed]
            for place in (costs < best).nonzero()[0].tolist():
                grown, total = text + spelled[allowed[place]], float(costs[place])
                if len(grown) <= DIGITS:
                    heapq.heappush(heap, (total, grown, (*tokens, allowed[place])))
                elif total < best:
                    best, answer = total, grown.strip()
    with torch.inference_mode():
        first = torch.log_softmax(model(torch.tensor([prompt])).logits[0, :-1].float(), dim=-1)
    given = -float(first[range(len(prompt) - 1), prompt[1:]].sum()) / math.log(2)
    return {"secret": answer, "bits": best + given, "passes": passes}


def _goes_on(piece: str, *, first: bool) -> bool:
    digits = piece.removeprefix(" ") if first else piece
    return (piece.startswith(" ") or not first) and (digits == "" or digits.isdecimal())


def ours(directory: str) -> dict[str, Any]:
    """The same through the package."""
    from secretaudit.canary.format import parse_format
    from secretaudit.extraction.segmented import segmented_shortest_path, segmented_tree
    from secretaudit.models.loading import load_model
    from secretaudit.progress import SilentProgress
    from secretaudit.tree import Budget, Memory

    model = load_model(directory)
    passes, price = [0], model.price

    def counted(*arguments: Any) -> Any:
        passes[0] += 1
        return price(*arguments)

    model.price = counted  # type: ignore[method-assign]  # counting only
    form = parse_format(f"{PREFIX} {{digits:{DIGITS}}}")
    tree = segmented_tree(form, model, segmentation="best", memory=Memory())
    found = segmented_shortest_path(tree, top=1, meter=Budget().meter(), progress=SilentProgress())
    (leaf,) = found.leaves
    return {"secret": tree.secret(leaf.tokens), "bits": leaf.cost, "passes": passes[0]}


CONTENDERS = {"prototype": prototype, "ours": ours}


def cold(name: str, directory: str) -> dict[str, Any]:
    """One contender in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_segmentations", name, directory]
    started = time.perf_counter()
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(shown.stdout.splitlines()[-1])
    return {**found, "seconds": time.perf_counter() - started}


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] and sys.argv[1] in CONTENDERS:
        print(json.dumps(CONTENDERS[sys.argv[1]](sys.argv[2])))
        return
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    directory = str(Path(os.environ["SECRETAUDIT_DATA"]) / "models" / "tiny-gpt2")
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for _ in range(runs):
        for name, results in found.items():
            results.append(cold(name, directory))
    one, other = (results[0] for results in found.values())
    if one["secret"] != other["secret"] or abs(one["bits"] - other["bits"]) > 1e-3:
        raise SystemExit("the two do not find the same secret")
    row("cheapest 6-digit secret, all segmentations", "wanted", "measured (median)")
    for name, results in found.items():
        wanted = ("< 32", "< 2.4") if name == "ours" else ("", "")
        row(f"{name}: passes", wanted[0], str(results[0]["passes"]))
        seconds = statistics.median(r["seconds"] for r in results)
        row(f"{name}: seconds, cold process", wanted[1], f"{seconds:.2f}")


if __name__ == "__main__":
    main()
