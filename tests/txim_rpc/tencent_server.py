"""A server on a free port that speaks Tencent's REST as far as it is told to, and worse."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.sms_rmq.providers.scripted_server import Answer, http, listening
from txim_rpc.domain import Command

SUCCESS: dict[str, object] = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}


def ok(**fields: object) -> Answer:
    return http(SUCCESS | fields)


def fail(code: int, info: str = "no", **fields: object) -> Answer:
    return http({"ActionStatus": "FAIL", "ErrorCode": code, "ErrorInfo": info, **fields})


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that came."""

    command: Command
    query: dict[str, str]
    body: dict[str, Any]


@dataclass
class TencentServer:
    """Answers each command with what `script` has for it, then with success."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    _script: defaultdict[Command, deque[Answer]] = field(default_factory=lambda: defaultdict(deque))
    _always: dict[Command, Answer] = field(default_factory=dict)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    def script(self, command: Command, *answers: Answer) -> None:
        """Answer the next calls of a command so, one each."""
        self._script[command].extend(answers)

    def always(self, command: Command, answer: Answer) -> None:
        """Answer a command so once its script is over."""
        self._always[command] = answer

    @property
    def commands(self) -> list[Command]:
        return [one.command for one in self.asked]

    def bodies(self, command: Command) -> list[dict[str, Any]]:
        return [one.body for one in self.asked if one.command is command]

    async def has_been_asked(self, count: int) -> None:
        """Wait until so many requests have come."""
        async with asyncio.timeout(5), self._arrived:
            await self._arrived.wait_for(lambda: len(self.asked) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                asked = await _read_request(reader)
                self.asked.append(asked)
                async with self._arrived:
                    self._arrived.notify_all()
                script = self._script[asked.command]
                await (script.popleft() if script else self._always.get(asked.command, ok()))(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return


async def _read_request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length"))
    method, target, _ = head.splitlines()[0].split(" ")
    assert method == "POST"
    address = urlsplit(target)
    query = {name: value for name, (value,) in parse_qs(address.query, strict_parsing=True).items()}
    body = json.loads(await reader.readexactly(length))
    return Asked(Command(address.path.removeprefix("/v4/")), query, body)


@asynccontextmanager
async def running_tencent() -> AsyncIterator[TencentServer]:
    server = TencentServer()
    async with listening(server.serve) as address:
        server.url = f"http://{address}"
        yield server
