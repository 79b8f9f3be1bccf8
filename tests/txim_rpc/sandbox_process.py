"""A sandbox in a process of its own, as a deployment runs it, and the operator's side of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.txim_rpc.harness import SDK_APP_ID, SECRET_KEY

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]


@contextmanager
def sandbox_process(**changes: str) -> Iterator[str]:
    """Run `python -m sandbox` on a free port, with its settings as `changes` say; yields its base URL."""
    variables = {
        "BRANDMESH_SANDBOX_PORT": "0",
        "BRANDMESH_SANDBOX_TXIM_SDKAPPID": str(SDK_APP_ID),
        "BRANDMESH_SANDBOX_TXIM_SECRET_KEY": SECRET_KEY,
        "PYTHONPATH": str(ROOT),
        **{f"BRANDMESH_SANDBOX_{name.upper()}": value for name, value in changes.items()},
    }
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox"], cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables}
    ) as process:
        assert process.stdout is not None
        try:
            announced = process.stdout.readline()
            assert announced.startswith("sandbox listening on "), announced
            yield announced.split()[-1]
        finally:
            process.terminate()
            process.wait(10)


@dataclass
class SandboxAdmin:
    """What an operator does to a sandbox."""

    url: str
    http: aiohttp.ClientSession

    async def fault(self, kind: str, **fields: object) -> None:
        async with self.http.post(f"{self.url}/admin/faults", json={"kind": kind, **fields}) as response:
            assert response.status == 201, await response.text()

    async def fault_kinds(self) -> set[str]:
        """Answer the kinds of Tencent IM that the refusal of an unknown kind lists."""
        async with self.http.post(f"{self.url}/admin/faults", json={"kind": "no such kind"}) as response:
            message = str((await response.json())["error"])
        kinds = message.partition("must be one of ")[2].split(", ")
        return {kind for kind in kinds if kind.startswith("txim_")}

    async def reset(self) -> None:
        async with self.http.post(f"{self.url}/admin/reset", json={}) as response:
            assert response.status == 200, await response.text()

    async def forget(self, account: str) -> None:
        async with self.http.delete(f"{self.url}/admin/txim/accounts/{account}") as response:
            assert (await response.json())["forgotten"] == 1

    async def log_in(self, account: str, state: str) -> None:
        body = {"account": account, "state": state}
        async with self.http.post(f"{self.url}/admin/txim/accounts", json=body) as response:
            assert response.status == 200, await response.text()

    async def account(self, name: str) -> Json:
        (account,) = (await self._get("/admin/txim/accounts", account=name))["accounts"]
        found: Json = account
        return found

    async def messages(self, account: str) -> list[Json]:
        """Answer what was delivered to an account, the first message first."""
        answer = await self._get("/admin/txim/messages", account=account, limit="1000")
        return list(reversed(answer["messages"]))

    async def newest_messages(self) -> list[Json]:
        """Answer the last 1000 messages that were delivered, also to accounts that were forgotten since."""
        found: list[Json] = (await self._get("/admin/txim/messages", limit="1000"))["messages"]
        return found

    async def stats(self) -> Json:
        stats: Json = (await self._get("/admin/stats"))["txim"]
        return stats

    async def _get(self, path: str, **query: str) -> Json:
        async with self.http.get(self.url + path, params=query) as response:
            answer: Json = await response.json()
            assert response.status == 200, answer
            return answer
