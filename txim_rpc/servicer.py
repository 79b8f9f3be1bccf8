"""Proto in, one call, proto out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from brandmesh.txim.v1 import txim_pb2 as pb
from brandmesh.txim.v1.txim_pb2_grpc import TxImServiceServicer
from mesh.errors import FieldViolation, invalid_request
from mesh.timestamps import by_our_clock, to_ms
from txim_rpc.domain import Account, ImCallError, Message, OnlineState, Result
from txim_rpc.refusals import refusal
from txim_rpc.service import Im

Context = Any
"""grpc.aio's context, which no method here reads."""

_ONLINE_STATES: Final = {
    OnlineState.ONLINE: pb.ONLINE_STATE_ONLINE,
    OnlineState.PUSH_ONLINE: pb.ONLINE_STATE_PUSH_ONLINE,
    OnlineState.OFFLINE: pb.ONLINE_STATE_OFFLINE,
    OnlineState.UNKNOWN: pb.ONLINE_STATE_UNSPECIFIED,
}


class TxImServicer(TxImServiceServicer):
    """What messagecenter calls."""

    def __init__(self, im: Im, clock: Callable[[], float] = time.time) -> None:
        self._im = im
        self._clock = clock

    async def SendMsg(self, request: pb.SendMsgRequest, context: Context) -> pb.SendMsgResponse:
        result = await self._im.send(_account(request.to), self._message(request.message))
        return pb.SendMsgResponse(result=_result(result))

    async def BatchSendMsg(self, request: pb.BatchSendMsgRequest, context: Context) -> pb.BatchSendMsgResponse:
        results = await self._im.send_all(_accounts(request.to, "to"), self._message(request.message))
        return pb.BatchSendMsgResponse(results=[_result(result) for result in results])

    async def AccountImport(self, request: pb.AccountImportRequest, context: Context) -> pb.AccountImportResponse:
        with _refusing():
            await self._im.import_all([_account(request.account)])
        return pb.AccountImportResponse()

    async def MultiaccountImport(
        self, request: pb.MultiaccountImportRequest, context: Context
    ) -> pb.MultiaccountImportResponse:
        accounts = _accounts(request.accounts, "accounts")
        with _refusing():
            return pb.MultiaccountImportResponse(failed_accounts=await self._im.import_all(accounts))

    async def AccountCheck(self, request: pb.AccountCheckRequest, context: Context) -> pb.AccountCheckResponse:
        with _refusing():
            return pb.AccountCheckResponse(imported_accounts=await self._im.imported_among(request.accounts))

    async def QueryOnlineStatus(
        self, request: pb.QueryOnlineStatusRequest, context: Context
    ) -> pb.QueryOnlineStatusResponse:
        with _refusing():
            states = await self._im.online_states(request.accounts)
        return pb.QueryOnlineStatusResponse(
            states=[
                pb.AccountState(account=name, state=_ONLINE_STATES[state])
                for name, state in zip(request.accounts, states, strict=True)
            ]
        )

    def _message(self, message: pb.ImMessage) -> Message:
        expires_at_ms = to_ms(message.expire_time)
        if message.HasField("request_time"):
            expires_at_ms = by_our_clock(message.expire_time, message.request_time, int(self._clock() * 1000))
        return Message(
            text=message.text,
            custom_data=message.custom_data,
            cloud_custom_data=message.cloud_custom_data,
            random=message.msg_random,
            time_seconds=message.msg_time.seconds,
            expires_at_ms=expires_at_ms,
        )


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except ImCallError as error:
        raise refusal(error.failure) from error


def _account(account: pb.ImAccount) -> Account:
    return Account(account.account, account.nick)


def _accounts(accounts: Sequence[pb.ImAccount], field: str) -> list[Account]:
    """Read accounts of which each may be named once. Raises INVALID_REQUEST."""
    seen: set[str] = set()
    violations = []
    for position, account in enumerate(accounts):
        if account.account in seen:
            violations.append(FieldViolation(f"{field}[{position}].account", f"{account.account} is named before"))
        seen.add(account.account)
    if violations:
        raise invalid_request(*violations)
    return [_account(account) for account in accounts]


def _result(result: Result) -> pb.SendResult:
    return pb.SendResult(
        account=result.account,
        outcome=pb.SendOutcome.Value(f"SEND_OUTCOME_{result.outcome}"),
        reason=result.reason,
        error_code=result.error_code,
        retry_after_seconds=result.retry_after_seconds,
    )
