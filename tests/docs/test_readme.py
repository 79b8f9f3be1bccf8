"""The README's examples, run as a reader runs them: in one shell, in a folder with `var/`, while the mesh serves."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic_settings import CliApp

from meshctl import demo
from meshctl.app import App
from meshctl.local import LocalOptions, run_local
from sms_rmq.settings import Settings as SmsRmqSettings

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs" / "runbook.md")

ANSWER_SECONDS_MAX = 20.0
"""How long a later example may take to see what an earlier one began."""

_FENCE = re.compile(r"^```(\w+) (run|answer)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DONE = "example-is-done"
_ACCOUNT = '[{"name": "one", "account": "a", "password": "p", "base_url": "http://127.0.0.1:1"}]'


@dataclass(frozen=True, slots=True)
class Example:
    """Commands, and the answer that the README shows; empty when it shows none."""

    commands: str
    answer: str = ""
    language: str = ""


def examples(page: str) -> Iterator[Example]:
    """Read the blocks marked `run`, each with the block marked `answer` that follows it."""
    commands = ""
    for language, role, text in _FENCE.findall(page):
        if role == "run":
            if commands:
                yield Example(commands)
            commands = text
        else:
            yield Example(commands, text, language)
            commands = ""
    if commands:
        yield Example(commands)


class Shell:
    """A POSIX shell that keeps its variables from one example to the next."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, commands: str) -> str:
        """Run commands; answer what they wrote, to both outputs."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{{\n{commands}\n}} 2>&1\nprintf '{_DONE}\\n'\n".encode())
        written = await asyncio.wait_for(self._process.stdout.readuntil(f"{_DONE}\n".encode()), 30)
        return written.decode().removesuffix(f"{_DONE}\n")


@asynccontextmanager
async def open_shell(directory: Path) -> AsyncIterator[Shell]:
    process = await asyncio.create_subprocess_exec(
        "sh", "-u", cwd=directory, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    try:
        yield Shell(process)
    finally:
        process.terminate()
        await process.wait()


def shape(value: Any) -> Any:
    """Leave of an answer what is the same in every run: names, words, and what is a number."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(part) for part in value]
    if isinstance(value, str):
        return re.sub(r"[0-9]+", "0", value)
    return value if isinstance(value, bool) else type(value).__name__


def is_answered(example: Example, written: str) -> bool:
    if not example.answer:
        return "Traceback" not in written and '"reason"' not in written
    if example.language == "text":
        return written.strip() == example.answer.strip()
    try:
        return bool(shape(json.loads(written)) == shape(json.loads(example.answer)))
    except json.JSONDecodeError:
        return False


async def check(shell: Shell, example: Example) -> None:
    """Run an example until it answers as shown: a reader who looks too early looks again."""
    deadline = time.monotonic() + (ANSWER_SECONDS_MAX if example.answer else 0)
    while not is_answered(example, written := await shell.run(example.commands)):
        assert time.monotonic() < deadline, f"{example.commands}\nanswered\n{written}\ninstead of\n{example.answer}"
        await asyncio.sleep(0.1)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Lay out a folder as a reader has it: the environment in .venv, the docs, and var for the state."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    (tmp_path / "var").mkdir()
    return tmp_path


async def test_the_examples_answer_as_shown(workspace: Path) -> None:
    found = list(examples((ROOT / "README.md").read_text()))
    assert len([one for one in found if one.answer]) >= 5
    async with run_local(LocalOptions(workspace / "var", fixed_ports=False)) as mesh, open_shell(workspace) as shell:
        brands = await demo.prepare(mesh)
        async with aiohttp.ClientSession() as session:
            message = await demo.send_one(App(session, mesh.gateway_url, brands[0].brand_id, brands[0].api_key))
        assert [step["status"] for step in message["timeline"]][-1] == "delivered"
        for example in found:
            await check(shell, example)


def consumer_commands() -> list[str]:
    return [line.strip() for page in PAGES for line in re.findall(r"python -m sms_rmq .*", page.read_text())]


@pytest.mark.parametrize("command", consumer_commands())
def test_the_ways_to_split_consumers_are_taken(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRANDMESH_PROVIDER_ACCOUNTS", _ACCOUNT)
    arguments = command.removeprefix("python -m sms_rmq").split()
    settings = CliApp.run(SmsRmqSettings, cli_args=arguments)
    assert settings != CliApp.run(SmsRmqSettings, cli_args=[])


@pytest.mark.parametrize("target", re.findall(r"^    make (\S+)", (ROOT / "README.md").read_text(), re.MULTILINE))
def test_the_commands_are_targets_of_the_makefile(target: str) -> None:
    assert f"\n{target}: " in (ROOT / "Makefile").read_text()
