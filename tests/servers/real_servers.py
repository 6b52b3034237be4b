"""The same claims as for the test server, made of real servers that are installed here.

``python -m tests.servers.real_servers [--vllm PYTHON] [--llama PYTHON]``: PYTHON is the interpreter of an environment with ``vllm`` or
``llama-cpp-python[server]``. The models are ``tiny-gpt2`` and ``stories260K`` below ``SECRETAUDIT_DATA/models``. Each server is started on a port of
its own, held against the same weights in this process, and ended:

handshake   it passes, or, for llama-cpp-python without a begin-of-text token, is refused
scores      bits of 60 canaries, at most 1e-3 apart
exposures   ranks of 3 canaries of a space of 100, equal
texts/s     of plain scoring, in one run over 400 texts
"""

# ruff: noqa: T201 # a script that prints what it found

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import numpy as np

from secretaudit.canary.format import parse_format
from secretaudit.errors import CouldNotMeasure
from secretaudit.exposure.audit import expose
from secretaudit.models.language_model import Framing
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.server.language_model import ServedModel
from secretaudit.models.server.opening import open_server
from secretaudit.models.transformer.language_model import TransformerLanguageModel
from tests.naive import ledger_of
from tests.servers.engine import load_engine
from tests.servers.gguf_files import write_gguf

FORM = parse_format("my pin is {digits:2}.")
LEDGER = ledger_of([FORM], [(FORM.name, s, 1) for s in ("04", "28", "99")])
PATIENCE_SECONDS = 300


@contextmanager
def running(command: Callable[[int], list[str]], log: Path) -> Iterator[str]:
    """A server until the block ends, on a port that was free; its whole process group ends with it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    quiet = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with log.open("w") as file:
        process = subprocess.Popen(
            command(port), stdout=file, stderr=file, env=os.environ | quiet, start_new_session=True
        )
        try:
            url = f"http://127.0.0.1:{port}/v1"
            _wait(url, process, log)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(PATIENCE_SECONDS):
        try:
            if httpx.get(f"{url}/models").is_success:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None:
            break
        time.sleep(1.0)
    tail = "\n".join(log.read_text().splitlines()[-15:])
    raise SystemExit(f"The server did not start:\n{tail}")


def vllm(python: str, directory: Path, port: int) -> list[str]:
    """The command that serves a model directory with vLLM in float32."""
    program = str(Path(python).with_name("vllm"))
    return [
        program, "serve", str(directory), "--served-model-name", "model", "--dtype", "float32",
        "--host", "127.0.0.1", "--port", str(port), "--enforce-eager",
    ]  # fmt: skip


def llama(python: str, file: Path, context: int, port: int) -> list[str]:
    """The command that serves a GGUF file with llama-cpp-python, keys and values kept in float32 (0) and not in half precision."""
    return [
        python, "-m", "llama_cpp.server", "--model", str(file), "--model_alias", "model", "--logits_all", "true",
        "--n_ctx", str(context), "--port", str(port), "--n_threads", "1", "--type_k", "0", "--type_v", "0",
    ]  # fmt: skip


def held_against(url: str, directory: Path) -> None:
    """The claims, one line each."""
    model = open_server(url, ModelOptions(tokenizer=str(directory), reply_cache=":memory:"))
    print(
        f"  {model.server['software']}, dialect {model.server['dialect']}, tokens before a text: {model.framing.before}"
    )
    for check in model.handshake:
        print(f"  handshake, {check['name']:<16} {check['passed']!s:<5} {check['detail']}")
    local, unseen = _local(model, directory)
    texts = [f"my pin is {n:02}." for n in range(0, 100, 2)] + [f"Lily {n}" for n in range(10)]
    records = [model.framing.record(ids) for ids in model.tokenizer.encode(texts)]
    theirs = model.score(records, model.framing.given)
    ours = local.score([[*unseen, *r] for r in records], model.framing.given + len(unseen))
    print(f"  scores: at most {np.abs(theirs - ours).max():.2g} bits apart")
    found = expose(model, canaries=LEDGER, method="enumeration").found["canaries"]
    expected = expose(local, canaries=LEDGER, method="enumeration").found["canaries"]
    ranks = [[row["rank"] for row in rows] for rows in (found, expected)]
    print(
        f"  exposures: ranks {ranks[0]}, in process {ranks[1]}: {'equal' if ranks[0] == ranks[1] else 'DIFFERENT'}"
    )
    many = [
        model.framing.record(i) for i in model.tokenizer.encode([f"the {n}" for n in range(400)])
    ]
    started = time.perf_counter()
    model.score(many)
    print(f"  texts/s: {400 / (time.perf_counter() - started):,.0f}")
    model.verify()
    model.close()


def _local(model: ServedModel, directory: Path) -> tuple[TransformerLanguageModel, tuple[int, ...]]:
    """The same weights in this process, and the begin-of-text token that the server reads without showing it."""
    engine = load_engine(directory)
    hidden = () if model.framing.before else (engine.tokenizer.bos_token_id,)
    framing = Framing(before=(*hidden, *model.framing.before))
    return TransformerLanguageModel(engine.model, engine.tokenizer, framing=framing), hidden


def main() -> None:
    """Print what each server does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vllm", metavar="PYTHON")
    parser.add_argument("--llama", metavar="PYTHON")
    asked = parser.parse_args()
    models = Path(os.environ["SECRETAUDIT_DATA"], "models")
    gpt2, stories = models / "tiny-gpt2", models / "stories260K"
    with tempfile.TemporaryDirectory() as temporary:
        log = Path(temporary, "log")
        if asked.vllm:
            for directory in (gpt2, stories):
                print(f"vLLM, {directory.name}", flush=True)
                with running(partial(vllm, asked.vllm, directory), log) as url:
                    _tried(url, directory)
        if asked.llama:
            for directory, context in ((stories, 512), (gpt2, 128)):
                print(f"llama-cpp-python, {directory.name}", flush=True)
                file = Path(temporary, "model.gguf")
                write_gguf(directory, file)
                with running(partial(llama, asked.llama, file, context), log) as url:
                    _tried(url, directory)


def _tried(url: str, directory: Path) -> None:
    try:
        held_against(url, directory)
    except CouldNotMeasure as refused:
        print(f"  refused, exit {refused.exit_code}: {refused}")


if __name__ == "__main__":
    main()
    sys.exit(0)
