"""The use cases: a message to one or many accounts, and what is asked about accounts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from txim_rpc import metrics
from txim_rpc.accounts import Accounts
from txim_rpc.domain import Account, Failure, Message, OnlineState, Policy, Result, result_of

Send = Callable[[Sequence[str], Message], Awaitable[Mapping[str, Failure]]]
"""Sends a message to accounts; answers the failures of those that did not get it."""


class ImCommands(Protocol):
    """Tencent's commands, but for those of imports."""

    def refusal_of(self, message: Message) -> Failure | None:
        """Tell why a message need not be tried at all."""

    async def send_one(self, names: Sequence[str], message: Message) -> Mapping[str, Failure]:
        """Send to one account."""

    async def send_many(self, names: Sequence[str], message: Message) -> Mapping[str, Failure]:
        """Send to up to 500 accounts."""

    async def check(self, names: Sequence[str]) -> set[str]:
        """Answer which of up to 100 accounts are imported. Raises ImCallError."""

    async def online_states(self, names: Sequence[str]) -> Mapping[str, OnlineState]:
        """Answer the states of those of up to 500 accounts that Tencent knows. Raises ImCallError."""


class Im:
    """Tencent Cloud IM with its accounts imported when they are needed."""

    def __init__(self, commands: ImCommands, accounts: Accounts) -> None:
        self._commands = commands
        self._accounts = accounts

    async def send(self, to: Account, message: Message) -> Result:
        """Send to one account. Raises DATABASE_UNAVAILABLE."""
        (result,) = await self._send([to], message, self._commands.send_one)
        return result

    async def send_all(self, to: Sequence[Account], message: Message) -> list[Result]:
        """Send to up to 500 accounts, each named once; answer one result each, in order. Raises DATABASE_UNAVAILABLE.

        DATABASE_UNAVAILABLE can come after some got it; Tencent drops the repeat of these.
        """
        return await self._send(to, message, self._commands.send_many)

    async def import_all(self, accounts: Sequence[Account]) -> list[str]:
        """Import up to 100 accounts, again if need be; answer those that Tencent did not take. Raises ImCallError."""
        return list(await self._accounts.import_all(accounts))

    async def imported_among(self, names: Sequence[str]) -> list[str]:
        """Answer which of up to 100 accounts Tencent knows, in their order. Raises ImCallError."""
        imported = await self._commands.check(list(dict.fromkeys(names)))
        return [name for name in names if name in imported]

    async def online_states(self, names: Sequence[str]) -> list[OnlineState]:
        """Answer the states of up to 500 accounts, in their order. Raises ImCallError."""
        states = await self._commands.online_states(list(dict.fromkeys(names)))
        return [states.get(name, OnlineState.UNKNOWN) for name in names]

    async def _send(self, to: Sequence[Account], message: Message, send: Send) -> list[Result]:
        refusal = self._commands.refusal_of(message)
        if refusal is None:
            failures = await self._send_to_imported(to, message, send)
        else:
            failures = dict.fromkeys((account.name for account in to), refusal)
        results = [result_of(account.name, failures.get(account.name)) for account in to]
        metrics.record_messages(results)
        return results

    async def _send_to_imported(self, to: Sequence[Account], message: Message, send: Send) -> dict[str, Failure]:
        failures = await self._try(to, message, send)
        strangers = {name for name, failure in failures.items() if failure.policy is Policy.IMPORT}
        if strangers:
            again = await self._try([account for account in to if account.name in strangers], message, send)
            failures = {name: failure for name, failure in failures.items() if name not in strangers} | again
        return failures

    async def _try(self, to: Sequence[Account], message: Message, send: Send) -> dict[str, Failure]:
        """Import whom Tencent does not know, then send to all that are imported; forget whom it turns out not to know.

        Answers the failures.
        """
        not_imported = await self._accounts.ensure(to)
        failures = {name: _before_sending(failure) for name, failure in not_imported.items()}
        imported = [account.name for account in to if account.name not in not_imported]
        if imported:
            failures |= await send(imported, message)
            strangers = [name for name in imported if name in failures and failures[name].policy is Policy.IMPORT]
            if strangers:
                await self._accounts.forget(strangers)
        return failures


def _before_sending(failure: Failure) -> Failure:
    """Whatever became of an import, the message itself was not sent."""
    return replace(failure, policy=Policy.RETRY) if failure.policy is Policy.UNKNOWN else failure
