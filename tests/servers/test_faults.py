"""What networks and servers do to requests: what passes is waited out, what does not is an error in three lines."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.server.client import Retries
from secretaudit.models.server.language_model import ServedModel
from secretaudit.models.server.opening import open_server
from secretaudit.models.transformer.language_model import TransformerLanguageModel
from tests.servers.conftest import QUICK, Open, Serve
from tests.servers.fake_server import Fake

SECRET = "0412"


def score(model: ServedModel, secret: str = SECRET) -> float:
    """Price one canary, which costs a request."""
    (ids,) = model.tokenizer.encode([f"the code is {secret}"])
    return float(model.score([model.framing.record(ids)], model.framing.given)[0])


@pytest.fixture
def opened(serve: Serve, connect: Open) -> Iterator[tuple[Fake, ServedModel]]:
    """A server that went through the handshake; faults are set afterwards."""
    fake = serve()
    return fake, connect(fake, timeout_seconds=0.3)


@pytest.mark.parametrize("fault", ["500", "503", "429", "slow", "cut", "garbage"])
def test_what_passes_is_waited_out(
    fault: str, opened: tuple[Fake, ServedModel], local: TransformerLanguageModel
) -> None:
    """Two failures of the same request, then the right number."""
    fake, model = opened
    fake.faults = [fault, fault]
    (ids,) = local.tokenizer.encode([f"the code is {SECRET}"])
    expected = local.score([local.framing.record(ids)], local.framing.given)[0]
    assert score(model) == pytest.approx(expected, abs=1e-3)
    assert fake.faults == []


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("500", "keeps answering with status 500"),
        ("503", "keeps answering with status 503"),
        ("429", "keeps answering with status 429"),
        ("slow", "did not answer within 0.3 seconds"),
        ("cut", "The connection to .* broke"),
        ("garbage", "something that is not JSON"),
        ("html", "is no model server"),
        ("count", "gives an answer that cannot be used"),
        ("shape", "gives an answer that cannot be used"),
    ],
)
def test_what_does_not_pass_is_an_error(
    fault: str, what: str, opened: tuple[Fake, ServedModel]
) -> None:
    """Exit 3 and three lines; the canary stands in none of them."""
    fake, model = opened
    fake.faults = [f"{fault}*"]
    with pytest.raises(CouldNotMeasure, match=what) as caught:
        score(model)
    lines = [caught.value.what, caught.value.why, caught.value.way_out]
    assert all(line and SECRET not in line and "\n" not in line for line in lines)


def test_wrong_token_counts_are_not_asked_again(opened: tuple[Fake, ServedModel]) -> None:
    """An answer of the wrong shape will not get better: one request, one error."""
    fake, model = opened
    before, fake.faults = len(fake.posts), ["count*"]
    with pytest.raises(CouldNotMeasure, match="cannot be used") as caught:
        score(model)
    assert "0 choices for 1 prompts" in caught.value.why
    assert len(fake.posts) - before == 1


def test_the_wait_that_a_server_asks_for_is_kept(opened: tuple[Fake, ServedModel]) -> None:
    """Retry-After is longer than our own pause, and is waited for."""
    fake, model = opened
    fake.faults, fake.retry_after = ["429"], "0.4"
    started = time.monotonic()
    score(model)
    assert time.monotonic() - started >= 0.4


def test_a_wait_longer_than_our_patience_is_an_error(opened: tuple[Fake, ServedModel]) -> None:
    """A server that asks for an hour is not waited for."""
    fake, model = opened
    before, fake.faults, fake.retry_after = len(fake.posts), ["429*"], "3600"
    with pytest.raises(CouldNotMeasure, match="asks to wait 3,600 seconds"):
        score(model)
    assert len(fake.posts) - before == 1


def test_a_date_to_wait_for_is_understood(opened: tuple[Fake, ServedModel]) -> None:
    """Retry-After may be a date; one that has passed is no wait."""
    fake, model = opened
    fake.faults, fake.retry_after = ["429"], "Wed, 21 Oct 2015 07:28:00 GMT"
    assert score(model) > 0


def test_a_server_that_is_gone_in_the_middle_is_an_error(serve: Serve, connect: Open) -> None:
    """The handshake went well; then nobody listens."""
    model = connect(serve())
    model._asker.client.url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(CouldNotMeasure, match=r"The connection to .* broke") as caught:
        score(model)
    assert "goes on where this one ended" in caught.value.way_out


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def options(directory: Path) -> ModelOptions:
    return ModelOptions(tokenizer=str(directory), reply_cache=":memory:", timeout_seconds=5.0)


def test_a_server_that_is_down_is_said_at_once(directory: Path) -> None:
    """Nobody listens: no waiting, and what to do."""
    patient = Retries(first_seconds=30.0)
    started = time.monotonic()
    with pytest.raises(CouldNotMeasure, match="cannot be reached") as caught:
        open_server(f"http://127.0.0.1:{free_port()}/v1", options(directory), retries=patient)
    assert time.monotonic() - started < 5.0
    assert caught.value.way_out.startswith("Start the server")


def test_https_to_a_server_without_tls_says_so(serve: Serve, directory: Path) -> None:
    """The TLS handshake fails; it is not tried again."""
    url = serve().url.replace("http://", "https://")
    with pytest.raises(CouldNotMeasure, match="No trusted connection") as caught:
        open_server(url, options(directory), retries=QUICK)
    assert caught.value.why.startswith("TLS fails")
    assert "http against https" in caught.value.way_out


@pytest.mark.parametrize("tail", ["/v2", "/v1/nothing"])
def test_a_wrong_path_is_said(tail: str, serve: Serve, directory: Path) -> None:
    """Status 404 on the list of models."""
    url = serve().url.removesuffix("/v1") + tail
    with pytest.raises(CouldNotMeasure, match="is no model server") as caught:
        open_server(url, options(directory), retries=QUICK)
    assert "status 404" in caught.value.why
    assert "ends in /v1" in caught.value.way_out


@pytest.mark.parametrize("tail", ["", "/", "/v1/", "/v1/completions"])
def test_addresses_are_read_kindly(tail: str, serve: Serve, directory: Path) -> None:
    """With or without /v1, a slash, or the path of completions."""
    fake = serve()
    url = fake.url.removesuffix("/v1") + tail
    model = open_server(url, options(directory), retries=QUICK)
    assert model.server["url"] == fake.url
    model.close()


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host/v1", "http://", "http://a b/v1", "http://host:port/v1"]
)
def test_what_is_no_address_is_a_usage_error(url: str, directory: Path) -> None:
    """Exit 2 before anything is sent."""
    with pytest.raises(UsageError, match="address of the server cannot be read"):
        open_server(url, options(directory))


@pytest.mark.parametrize("url", ["http://user:pass@host/v1", "http://host/v1?key=pass"])
def test_keys_in_addresses_are_refused_and_not_repeated(url: str, directory: Path) -> None:
    """Addresses are written into records."""
    with pytest.raises(UsageError, match="more than an address") as caught:
        open_server(url, options(directory))
    assert "pass" not in str(caught.value)


def test_an_unknown_model_name_lists_the_known_ones(serve: Serve, connect: Open) -> None:
    """Exit 2, with the names that the server has."""
    with pytest.raises(UsageError, match="no model 'large'") as caught:
        connect(serve(), server_model="large")
    assert caught.value.why == "It has tiny."


def test_web_pages_at_other_paths_are_no_obstacle(serve: Serve, connect: Open) -> None:
    """A web application beside the API answers everything else with a page; the dialect is found all the same."""
    assert connect(serve("echo", pages=True)).server["dialect"] == "echo"


def test_a_web_page_in_place_of_the_models_is_said(serve: Serve, directory: Path) -> None:
    """The address of an application and not of its API."""
    url = serve("echo", pages=True).url + "/nothing"
    with pytest.raises(CouldNotMeasure, match="is no model server") as caught:
        open_server(url, options(directory), retries=QUICK)
    assert "web page" in caught.value.why


def test_a_server_that_completes_nothing_is_refused(serve: Serve, connect: Open) -> None:
    """It lists models and answers 404 to everything else."""
    with pytest.raises(CouldNotMeasure, match="does not complete texts") as caught:
        connect(serve("no-completions"))
    assert "status 404" in caught.value.why


@pytest.mark.parametrize("api", ["auto", "vllm", "echo", "top-k"])
def test_a_server_without_log_probabilities_is_refused(
    api: str, serve: Serve, connect: Open
) -> None:
    """``transformers serve`` takes every field with status 200 and gives no log-probabilities."""
    with pytest.raises(CouldNotMeasure, match="cannot be audited") as caught:
        connect(serve("transformers-serve"), api=api)
    assert "huggingface at http" in caught.value.what
    assert "vLLM" in caught.value.way_out


def test_a_tokenizer_has_to_be_found(serve: Serve, connect: Open) -> None:
    """Servers that do not say what they loaded need --tokenizer; directories without one are refused."""
    with pytest.raises(UsageError, match="tokenizer of the served model is not known") as caught:
        connect(serve("echo"), tokenizer=None)
    assert "--tokenizer DIRECTORY" in caught.value.way_out
    with pytest.raises(UsageError, match="There is no tokenizer in"):
        connect(serve("echo"), tokenizer="/nowhere/at/all")


def test_the_tokenizer_is_found_where_the_server_loaded_the_model(
    serve: Serve, connect: Open
) -> None:
    """vLLM and SGLang name their directory, which may be on this machine."""
    assert score(connect(serve("vllm"), tokenizer=None)) > 0


def test_options_that_a_server_would_not_heed_are_refused(serve: Serve, connect: Open) -> None:
    """Precision and source belong to a model in this process; framing to servers that read ids."""
    with pytest.raises(UsageError, match="--dtype cannot be used"):
        connect(serve(), dtype="bfloat16")
    with pytest.raises(UsageError, match="--source cannot be used"):
        connect(serve(), source="text")
    for wrong in ({"bos": "off"}, {"close": "on"}, {"chat": "hello"}):
        with pytest.raises(UsageError, match="decides itself what it reads around a text"):
            connect(serve("echo"), api="echo", **wrong)
    with pytest.raises(UsageError, match="no server dialect"):
        connect(serve(), api="soap")


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    serve: Serve, connect: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Our own variable comes before OpenAI's; the key is in no error, log or record."""
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-openai")
    monkeypatch.setenv("SECRETAUDIT_API_KEY", "key-of-ours")
    caplog.set_level("DEBUG")
    fake = serve(key="key-of-ours")
    model = connect(fake)
    score(model)
    assert "key-of" not in repr((model.server, model.handshake)) + caplog.text
    fake.key = "another"
    with pytest.raises(CouldNotMeasure, match="refuses the key") as caught:
        score(model, "2812")
    assert "key-of" not in str(caught.value)
    assert "SECRETAUDIT_API_KEY" in caught.value.way_out


def test_a_missing_key_is_said(
    serve: Serve, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server wants one and the environment has none."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("SECRETAUDIT_API_KEY", raising=False)
    with pytest.raises(CouldNotMeasure, match="refuses the key") as caught:
        connect(serve(key="needed"))
    assert caught.value.why == "No key was sent: none stands in the environment."


def test_a_key_that_no_header_carries_is_not_shown(
    serve: Serve, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pasted line break or letter outside ASCII."""
    monkeypatch.setenv("SECRETAUDIT_API_KEY", "sk-schlüssel")
    with pytest.raises(UsageError, match="cannot be sent") as caught:
        connect(serve())
    assert "schl" not in str(caught.value)
