"""The README, the documentation and the examples say what the program does."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

import secretaudit
from secretaudit.cli.application import application

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
PAGES = [README, *sorted(DOCS.glob("*.md"))]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_INLINE = re.compile(r"`([^`\n]+)`")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return [text for kind, text in _BLOCK.findall(page.read_text("utf-8")) if kind == language]


def command_lines(text: str) -> Iterator[list[str]]:
    """The calls of secretaudit in a shell text, as words; a backslash at the end of a line joins lines."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and Path(words[0]).name != "secretaudit":
            words = words[1:]
        if words:
            ends = [i for i, word in enumerate(words) if word in {"||", "&&", ";", "|", ">"}]
            yield words[1 : ends[0]] if ends else words[1:]


def generator(name: str) -> dict[str, Any]:
    """The names of one of the scripts that write pages."""
    return runpy.run_path(str(DOCS / name))


def test_the_command_page_is_current() -> None:
    """What the page says of the commands is what the commands say of themselves."""
    assert generator("generate_commands.py")["page"]() == (DOCS / "commands.md").read_text("utf-8")


def test_the_command_page_has_every_command_and_option() -> None:
    """The generator leaves nothing out: each option's name stands in the section of its command."""
    page = (DOCS / "commands.md").read_text("utf-8")
    context = click.Context(application)
    for name in application.list_commands(context):
        section = page.split(f"## secretaudit {name}\n", 1)[1].split("\n## ", 1)[0]
        command = application.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.opts[0] in section


def test_the_table_of_formats_is_current() -> None:
    """The formats page lists the library as it is."""
    assert generator("generate_formats.py")["page"]() == (DOCS / "formats.md").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that exists, and a heading that its page has."""
    for target in _LINK.findall(page.read_text("utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}
            assert anchor in slugs, f"{page.name} links to {target}"


def test_every_page_is_in_the_table_of_contents() -> None:
    """The index leads to all pages of the documentation."""
    index = (DOCS / "index.md").read_text("utf-8")
    listed = set(index.split("```{toctree}")[1].split("```")[0].split("\n"))
    assert {page.stem for page in DOCS.glob("*.md")} - {"index"} <= listed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_command_lines_of_the_pages_are_understood(page: Path) -> None:
    """Each call in a bash block parses: the command exists, and so do its options with these values."""
    for text in blocks(page, "bash"):
        for words in command_lines(text):
            assert_understood(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_named_in_sentences_exist(page: Path) -> None:
    """A `secretaudit …` in running text names a command and options that exist."""
    for code in _INLINE.findall(page.read_text("utf-8")):
        words = code.split()
        if words[:1] == ["secretaudit"] and len(words) > 1 and not words[1].startswith("-"):
            command, words, _ = _found(words[1:])
            if command is None and words[0].isupper():
                continue  # stands for any of them, such as suite NAME
            assert command is not None, code
            known = {option for parameter in command.params for option in parameter.opts}
            known |= {"--help"}
            assert {word for word in words[1:] if word.startswith("-")} <= known, code


def test_the_examples_in_bash_use_commands_that_are_understood() -> None:
    """The calls of the example scripts parse too."""
    scripts = sorted(EXAMPLES.glob("*.sh"))
    assert scripts
    for script in scripts:
        calls = list(command_lines(script.read_text("utf-8")))
        assert calls
        for words in calls:
            assert_understood(words)


def test_the_readme_has_the_two_commands_of_a_fresh_machine() -> None:
    """Each mark stands alone on its line, followed by a bash block, as .ci/run looks for them."""
    text = README.read_text("utf-8")
    for mark, last in (("demo", "secretaudit demo"), ("tests", "pytest")):
        found = re.search(
            rf"^<!-- ci: {mark} -->\n```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
        )
        assert found is not None
        assert found[1].strip().endswith(last)


def test_the_readme_shows_the_seven_commands_in_the_order_of_the_work() -> None:
    """The workflow block has one line for each command of the program but the suite, which is no part of that way."""
    workflow = [t for t in blocks(README, "bash") if "secretaudit insert" in t]
    named = [words[0] for words in command_lines(workflow[0])]
    assert [*named, "suite"] == application.list_commands(click.Context(application))


@pytest.mark.parametrize("page", [README, DOCS / "getting-started.md"], ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of the page runs as it stands, but for a smaller model and fewer draws."""
    monkeypatch.chdir(tmp_path)
    make_small(monkeypatch)
    Path("corpus.txt").write_text("\n".join(f"room {n} is on floor {n % 9}" for n in range(60)))
    found: dict[str, Any] = {}
    for text in blocks(page, "python"):
        exec(compile(text, page.name, "exec"), found)  # noqa: S102  (running the documentation is the test)
    kinds = ["insertion", "training", "exposure", "extraction", "verdict"]
    assert [found[kind].kind for kind in kinds] == [*kinds[:-1], "gate"]
    assert len(found["exposure"].found["canaries"]) == len(found["insertion"].asked["formats"]) * (
        3 * 10 + 50
    )


def test_the_examples_do_not_depend_on_where_they_run(tmp_path: Path) -> None:
    """The example that needs no model runs from an empty directory and leaves nothing there."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    script = [sys.executable, str(EXAMPLES / "own_format.py")]
    run = subprocess.run(
        script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert list(tmp_path.iterdir()) == []


def assert_understood(words: list[str]) -> None:
    """Parse a call without running it; files that it names need not exist."""
    assert words, "secretaudit without a command"
    if words[0].startswith("-"):
        return
    command, words, context = _found(words)
    assert command is not None, words
    try:
        command.make_context(words[0], words[1:], parent=context)
    except click.BadParameter as error:
        assert "does not exist" in error.message, error.format_message()  # noqa: PT017  (a value is refused)


def _found(words: list[str]) -> tuple[click.Command | None, list[str], click.Context]:
    """The command that words name, inside groups too; the words from its name on; and the context above it."""
    context, group = click.Context(application), application
    while True:
        command = group.get_command(context, words[0])
        if not isinstance(command, click.Group) or len(words) < 2:
            return command, words, context
        context, group, words = click.Context(command, parent=context), command, words[1:]


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the public functions use a tiny model and a small budget."""
    train, expose, extract = secretaudit.train, secretaudit.expose, secretaudit.extract

    def small_train(
        *given: Any, settings: secretaudit.TrainingSettings, **named: Any
    ) -> secretaudit.Record:
        tiny = replace(settings, layers=1, units=8, batch_size=8, epochs=1)
        return train(*given, settings=tiny, **named)

    monkeypatch.setattr(secretaudit, "train", small_train)
    monkeypatch.setattr(secretaudit, "expose", lambda *a, **k: expose(*a, budget="5000 nodes", **k))
    monkeypatch.setattr(
        secretaudit, "extract", lambda *a, **k: extract(*a, budget="2000 nodes", **k)
    )
