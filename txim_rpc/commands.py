"""The six commands: what each asks in JSON, and what its answer says account by account."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import orjson

from txim_rpc.answers import (
    Fields,
    read_account_failures,
    read_failed_accounts,
    read_imported_accounts,
    read_online_states,
)
from txim_rpc.domain import (
    BODY_BYTES_MAX,
    EXPIRED,
    IMPORT_FAILED,
    TOO_LONG,
    Account,
    Command,
    Failure,
    ImCallError,
    Message,
    OnlineState,
)
from txim_rpc.tencent import Tencent

Answered = TypeVar("Answered")

_NOT_TO_SENDER = 2
"""SyncOtherMachine: the administrator's own devices get no copy."""


class Commands:
    """Calls the commands. All raise ImCallError, but for sends, whose failures are the accounts'."""

    def __init__(self, tencent: Tencent, clock: Callable[[], float] = time.time) -> None:
        self._tencent = tencent
        self._clock = clock

    def refusal_of(self, message: Message) -> Failure | None:
        """Tell why a message need not be tried at all."""
        if message.is_expired(self._now_ms()):
            return EXPIRED
        return TOO_LONG if len(orjson.dumps(_message_body(message))) > BODY_BYTES_MAX else None

    async def send_one(self, names: Sequence[str], message: Message) -> Mapping[str, Failure]:
        """Send to one account; answer its failure, or nothing."""
        (name,) = names
        try:
            await self._tencent.call(Command.SEND_MSG, lambda: self._send_body(name, message), _read_nothing, 1)
        except ImCallError as error:
            return {name: error.failure}
        return {}

    async def send_many(self, names: Sequence[str], message: Message) -> Mapping[str, Failure]:
        """Send to up to 500 accounts; answer the failures of those that did not get it."""
        amounts = 1, len(names)
        try:
            failures = await self._tencent.call(
                Command.BATCH_SEND_MSG, lambda: self._send_body(list(names), message), read_account_failures, *amounts
            )
        except ImCallError as error:
            return dict.fromkeys(names, error.failure) | _of(names, error.account_failures)
        return _of(names, failures)

    async def import_one(self, account: Account) -> None:
        """Import one account, or give it a new nick."""
        await self._call(Command.ACCOUNT_IMPORT, _profile(account), _read_nothing)

    async def import_many(self, accounts: Sequence[Account]) -> Mapping[str, Failure]:
        """Import up to 100 accounts; answer the failures of those that Tencent did not take."""
        fields = {"AccountList": [_profile(account) for account in accounts]}
        failed = await self._call(Command.MULTIACCOUNT_IMPORT, fields, read_failed_accounts)
        return _of([account.name for account in accounts], dict.fromkeys(failed, IMPORT_FAILED))

    async def check(self, names: Sequence[str]) -> set[str]:
        """Answer which of up to 100 accounts are imported."""
        fields = {"CheckItem": [{"UserID": name} for name in names]}
        return await self._call(Command.ACCOUNT_CHECK, fields, read_imported_accounts)

    async def online_states(self, names: Sequence[str]) -> Mapping[str, OnlineState]:
        """Answer the states of those of up to 500 accounts that Tencent knows."""
        return await self._call(Command.QUERY_ONLINE_STATUS, {"To_Account": list(names)}, read_online_states)

    async def _call(
        self, command: Command, fields: Mapping[str, object], read: Callable[[Fields], Answered]
    ) -> Answered:
        body = orjson.dumps(fields)
        return await self._tencent.call(command, lambda: body, read, 1)

    def _send_body(self, to: str | list[str], message: Message) -> bytes:
        now_ms = self._now_ms()
        if message.is_expired(now_ms):
            raise ImCallError(EXPIRED)
        fields: dict[str, object] = {
            "SyncOtherMachine": _NOT_TO_SENDER,
            "To_Account": to,
            "MsgLifeTime": message.life_seconds(now_ms),
            "MsgRandom": message.random,
            "MsgTimeStamp": message.time_seconds,
            "MsgBody": _message_body(message),
        }
        if message.cloud_custom_data:
            fields["CloudCustomData"] = message.cloud_custom_data
        return orjson.dumps(fields)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _message_body(message: Message) -> list[Mapping[str, object]]:
    if message.text:
        return [{"MsgType": "TIMTextElem", "MsgContent": {"Text": message.text}}]
    return [{"MsgType": "TIMCustomElem", "MsgContent": {"Data": message.custom_data}}]


def _profile(account: Account) -> dict[str, str]:
    return {"UserID": account.name, "Nick": account.nick} if account.nick else {"UserID": account.name}


def _of(names: Iterable[str], failures: Mapping[str, Failure]) -> dict[str, Failure]:
    """Keep what is said about accounts that were asked about."""
    return {name: failures[name] for name in names if name in failures}


def _read_nothing(_: Fields) -> None:
    """Take a success for what it is."""
