"""txim_rpc as it is wired, served over gRPC, before a server that stands for Tencent."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from brandmesh.txim.v1 import txim_pb2 as pb
from brandmesh.txim.v1.txim_pb2_grpc import TxImServiceStub
from mesh.channel import Peer
from mesh.errors import DomainError
from mesh.timestamps import to_timestamp
from txim_rpc.settings import Settings
from txim_rpc.wiring import open_server

SECRET_KEY = "5f0cbe7d1a9e4c0f8b21-made-up"
SDK_APP_ID = 1400000042
SENT, REFUSED, RETRY, UNKNOWN = (
    pb.SEND_OUTCOME_SENT,
    pb.SEND_OUTCOME_REFUSED,
    pb.SEND_OUTCOME_RETRY,
    pb.SEND_OUTCOME_UNKNOWN,
)
MSG_TIME_SECONDS = 1_700_000_000

_randoms = itertools.count(4_000_000_000)


@dataclass
class Txim:
    """The service's rpcs."""

    peer: Peer

    def __post_init__(self) -> None:
        self.stub = TxImServiceStub(self.peer.channel)

    async def send(self, account: str = "desk-1", nick: str = "", **changes: Any) -> pb.SendResult:
        request = pb.SendMsgRequest(to=pb.ImAccount(account=account, nick=nick), message=message(**changes))
        return (await self.peer.call(self.stub.SendMsg, request)).result

    async def send_again(self, request: pb.SendMsgRequest) -> pb.SendResult:
        return (await self.peer.call(self.stub.SendMsg, request)).result

    async def send_all(self, *accounts: str, **changes: Any) -> list[pb.SendResult]:
        request = pb.BatchSendMsgRequest(
            to=[pb.ImAccount(account=account) for account in accounts], message=message(**changes)
        )
        return list((await self.peer.call(self.stub.BatchSendMsg, request)).results)

    async def import_account(self, account: str, nick: str = "") -> None:
        request = pb.AccountImportRequest(account=pb.ImAccount(account=account, nick=nick))
        await self.peer.call(self.stub.AccountImport, request)

    async def import_accounts(self, *accounts: str) -> list[str]:
        request = pb.MultiaccountImportRequest(accounts=[pb.ImAccount(account=account) for account in accounts])
        return list((await self.peer.call(self.stub.MultiaccountImport, request)).failed_accounts)

    async def check(self, *accounts: str) -> list[str]:
        answer = await self.peer.call(self.stub.AccountCheck, pb.AccountCheckRequest(accounts=accounts))
        return list(answer.imported_accounts)

    async def online(self, *accounts: str) -> list[tuple[str, pb.OnlineState.ValueType]]:
        request = pb.QueryOnlineStatusRequest(accounts=accounts)
        answer = await self.peer.call(self.stub.QueryOnlineStatus, request)
        return [(state.account, state.state) for state in answer.states]


def message(life_seconds: float = 3600.0, **changes: Any) -> pb.ImMessage:
    """Make a text, with a random of its own, that is of use for so long."""
    fields: dict[str, Any] = {
        "msg_random": next(_randoms),
        "msg_time": to_timestamp(MSG_TIME_SECONDS * 1000 + 999),
        "expire_time": to_timestamp(int((time.time() + life_seconds) * 1000)),
    }
    if "custom_data" not in changes:
        fields["text"] = "801 ordered 2 dumplings"
    return pb.ImMessage(**(fields | changes))


def make_settings(database_url: str, tencent_url: str, **changes: Any) -> Settings:
    fields: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "drain_seconds": 0.5,
        "database_url": database_url,
        "txim_url": tencent_url,
        "txim_sdk_app_id": SDK_APP_ID,
        "txim_secret_key": SECRET_KEY,
        "call_timeout_seconds": 5,
    }
    return Settings(**(fields | changes))


@asynccontextmanager
async def running_txim(settings: Settings, clock: Callable[[], float] = time.time) -> AsyncIterator[Txim]:
    async with open_server(settings, clock) as server:
        await server.start()
        peer = Peer("txim_rpc", server.address, timeout_seconds=20)
        try:
            yield Txim(peer)
        finally:
            await peer.close()
            await server.drain()


def told(result: pb.SendResult) -> tuple[pb.SendOutcome.ValueType, str, int]:
    """What a result says, but for when to try again."""
    return result.outcome, result.reason, result.error_code


@contextmanager
def refused(reason: str) -> Iterator[pytest.ExceptionInfo[DomainError]]:
    with pytest.raises(DomainError) as caught:
        yield caught
    assert caught.value.reason == reason, caught.value
