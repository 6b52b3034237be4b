"""Options that several commands share, so that one name means one thing everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from secretaudit.cli.session import Session
from secretaudit.models.model_options import ModelOptions

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]


def _remembered(name: str, flags: str, text: str) -> Decorator[Any]:
    """A flag that is kept in the session and not passed to the command."""

    def remember(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            setattr(context.ensure_object(Session), name, True)

    return click.option(
        *flags.split(),
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=remember,
        help=text,
    )


debug_option = _remembered("debug", "--debug", "Show the traceback of an error.")
quiet_option = _remembered("quiet", "--quiet -q", "Print nothing but the answer and warnings.")
json_option = _remembered(
    "json", "--json", "Print the record on stdout; everything else goes to stderr."
)


def talking(command: F) -> F:
    """The options about what is printed, which every command has."""
    talkative: F = json_option(quiet_option(debug_option(command)))
    return talkative


def output_option(default: str | None, text: str, *, required: bool = False) -> Decorator[Any]:
    """``-o``: where the result goes."""
    # click takes a default of None for an answer, even to a required option
    known: dict[str, Any] = {} if default is None else {"default": default, "show_default": True}
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        required=required,
        help=text,
        **known,
    )


model_option = click.option(
    "--model",
    required=True,
    metavar="MODEL",
    help="A model directory, a PEFT adapter, a GGUF file, a hub name, or the address of a server.",
)
canaries_option = click.option(
    "--canaries",
    type=click.Path(path_type=Path),
    metavar="LEDGER",
    help="Ledger of the canaries; without it, the one named in the model's own record.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Makes the run repeatable.",
)
budget_option = click.option(
    "--budget", metavar="COST", help='Most that may be spent: "60s", "5min", or "200000 nodes".'
)
memory_option = click.option(
    "--memory", default="2GiB", show_default=True, help="Most memory that the search may hold."
)
device_option = click.option(
    "--device", default="cpu", show_default=True, help="Where the model runs, as torch names it."
)
_MODEL_OPTIONS = (
    device_option,
    click.option(
        "--dtype",
        type=click.Choice(("float32", "bfloat16", "float16")),
        default="float32",
        show_default=True,
        help="Precision of weights and products; probabilities are always float32.",
    ),
    click.option("--allow-pickle", is_flag=True, help="Open pickled weights: runs code in them."),
    click.option(
        "--bos",
        type=click.Choice(("auto", "on", "off")),
        default="auto",
        show_default=True,
        help="Whether a begin-of-text token is read before a text.",
    ),
    click.option(
        "--close",
        type=click.Choice(("auto", "on", "off")),
        default="auto",
        show_default=True,
        help="Whether the end-of-text token is charged; auto: as the model was trained, if known.",
    ),
    click.option(
        "--chat", metavar="MESSAGE", help="The canary is the assistant's answer to this message."
    ),
    click.option(
        "--source",
        metavar="TEXT",
        help="Encoder-decoder: the source; {secret} in it stands for the secret.",
    ),
    click.option(
        "--tokenizer", metavar="DIRECTORY", help="Tokenizer, where the model brings none."
    ),
    click.option(
        "--model-name",
        "server_model",
        metavar="NAME",
        help="Server: the name under which it knows the model.",
    ),
    click.option(
        "--api",
        type=click.Choice(("auto", "vllm", "echo", "sglang", "top-k")),
        default="auto",
        show_default=True,
        help="Server: its dialect.",
    ),
    click.option(
        "--concurrency", type=click.IntRange(min=1), help="Server: requests under way at a time."
    ),
    click.option(
        "--timeout",
        "timeout_seconds",
        type=click.FloatRange(min=0, min_open=True),
        default=60.0,
        show_default=True,
        help="Server: seconds for one request.",
    ),
    click.option(
        "--reply-cache",
        metavar="FILE",
        help="Server: where replies are kept for the next run (:memory: keeps none).",
    ),
)


def model_options(command: F) -> F:
    """Everything about how a model is opened; ``opening`` makes ``ModelOptions`` of it."""
    for option in reversed(_MODEL_OPTIONS):
        command = option(command)
    decorated: F = model_option(command)
    return decorated


def opening(given: dict[str, Any]) -> ModelOptions:
    """How the model is to be opened, from the values of ``model_options``."""
    return ModelOptions(**given)


segmentation_option = click.option(
    "--segmentation",
    type=click.Choice(("canonical", "best", "marginal")),
    default="canonical",
    show_default=True,
    help="Price a text as the tokenizer cuts it, by its cheapest cut, or by all cuts together.",
)
reveal_option = click.option(
    "--reveal", is_flag=True, help="Show secrets in full; the record is then readable by you only."
)
force_option = click.option(
    "--force", is_flag=True, help="Replace what an earlier run of secretaudit wrote there."
)
