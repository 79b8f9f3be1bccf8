from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from bench.peers.jcli import JcliError, carry_out
from mesh.loopback import LOOPBACK

GREETING = b"\xff\xfd\x1fWelcome to Jasmin 0.11.0 console\r\r\n"


@asynccontextmanager
async def console(answers: Mapping[str, bytes]) -> AsyncIterator[tuple[int, list[str]]]:
    """Greet without a prompt, echo what is typed, and answer some lines, as Jasmin's console does."""
    typed: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        while line := await reader.readline():
            text = line.decode().strip()
            typed.append(text)
            prompt = b"> " if text and text != "ok" and not text.startswith("smppccm -1") else b"jcli : "
            writer.write(line + answers.get(text, b"") + prompt)
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    async with server:
        yield server.sockets[0].getsockname()[1], typed


async def test_settings_are_typed_line_by_line_and_saved() -> None:
    saved = {"ok": b"Successfully added\r\n", "smppccm -1 bench": b"Successfully started\r\n"}
    async with console(saved) as (port, typed):
        await carry_out(port, [["group -a", "gid bench"], ["smppccm -1 bench"]])
    assert typed == ["", "group -a", "gid bench", "ok", "smppccm -1 bench"]


async def test_what_the_console_does_not_take_is_told() -> None:
    async with console({"ok": b"Error: a user needs a group\r\n"}) as (port, _):
        with pytest.raises(JcliError, match=r"user -a: ok\s+Error: a user needs a group"):
            await carry_out(port, [["user -a", "uid bench"]])
