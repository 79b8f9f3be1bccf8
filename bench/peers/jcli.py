"""Jasmin's management console: lines typed over telnet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mesh.loopback import LOOPBACK

_PROMPTS = (b"jcli : ", b"> ")
_END_OF_LINE = b"\r\n"
_SAVE = "ok"
_SAVED = b"Success"
_LINE_SECONDS_MAX = 15.0
_CHUNK_BYTES = 4096


class JcliError(Exception):
    """The console did not take what it was told."""


async def carry_out(port: int, commands: Sequence[Sequence[str]]) -> None:
    """Type commands, each the line that begins it and the settings that follow; a command with settings is saved.

    Raises JcliError with what the console said where one was not saved.
    """
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        # It greets without a prompt to terminals that do not tell their size.
        writer.write(_END_OF_LINE)
        await _until_prompt(reader)
        for first, *settings in commands:
            said = b""
            for line in (first, *settings, _SAVE) if settings else (first,):
                writer.write(line.encode() + _END_OF_LINE)
                said = await _until_prompt(reader)
            if _SAVED not in said:
                raise JcliError(f"{first}: {said.decode(errors='replace').strip()}")
    finally:
        writer.close()
        await writer.wait_closed()


async def _until_prompt(reader: asyncio.StreamReader) -> bytes:
    said = b""
    try:
        async with asyncio.timeout(_LINE_SECONDS_MAX):
            while not said.endswith(_PROMPTS):
                chunk = await reader.read(_CHUNK_BYTES)
                if not chunk:
                    raise JcliError(f"the console hung up after {said!r}")
                said += chunk
    except TimeoutError:
        raise JcliError(f"the console said no more for {_LINE_SECONDS_MAX:g} s after {said!r}") from None
    return said
