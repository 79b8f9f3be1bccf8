"""Which accounts Tencent knows, and importing those that it does not, each once however many ask for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Protocol

from mesh.coalesce import Coalescer, own
from mesh.database import Database
from mesh.errors import DomainError
from txim_rpc import storage
from txim_rpc.domain import ACCOUNTS_MAX, BACK_OFF_SECONDS, Account, Failure, ImCallError, Policy, rate_limited

PENDING_MAX: Final = 20_000
"""Accounts that may wait for their import at once."""


class ImportCommands(Protocol):
    """Tencent's two commands. Both raise ImCallError."""

    async def import_one(self, account: Account) -> None:
        """Import one account."""

    async def import_many(self, accounts: Sequence[Account]) -> Mapping[str, Failure]:
        """Import up to 100 accounts; answer the failures of those that Tencent did not take."""


class Accounts:
    """The imported accounts: in memory as many as were used last, in the database all.

    Accounts that are to be imported wait while others are being imported, and go together then: one call for a hundred,
    one import for many senders, and none that is broken off with the sender that asked first.
    """

    def __init__(self, database: Database, commands: ImportCommands, *, cached_max: int) -> None:
        self._database = database
        self._commands = commands
        self._cached_max = cached_max
        self._cached: OrderedDict[str, None] = OrderedDict()
        self._imports = Coalescer(
            self._import_together,
            name="IM accounts",
            batch_max=ACCOUNTS_MAX,
            pending_max=PENDING_MAX,
            poison=(_RefusedTogetherError,),
        )

    async def aclose(self) -> None:
        """Take nothing more, and finish what was taken."""
        await self._imports.close()

    async def ensure(self, accounts: Sequence[Account]) -> dict[str, Failure]:
        """Import those that are not known to be; answer why some could not be. Raises DATABASE_UNAVAILABLE."""
        await self._load(self._unknown(accounts))
        missing = self._unknown(accounts)
        try:
            failures = await self._imports.submit_all(missing)
        except DomainError as error:
            if error.reason != "OVERLOADED":
                raise
            failures = [rate_limited(error.retry_after_seconds or BACK_OFF_SECONDS)] * len(missing)
        found: dict[str, Failure] = {}
        for account, failure in zip(missing, failures, strict=True):
            if isinstance(failure, BaseException):
                raise own(failure)
            if failure is not None:
                found[account.name] = failure
        return found

    async def import_all(self, accounts: Sequence[Account]) -> Mapping[str, Failure]:
        """Import up to 100 accounts whether they are known or not; answer the failures of single ones.

        Raises ImCallError when none was imported, and DATABASE_UNAVAILABLE.
        """
        failures: Mapping[str, Failure] = {}
        if len(accounts) == 1:
            await self._commands.import_one(accounts[0])
        else:
            failures = await self._commands.import_many(accounts)
        await self._record([account for account in accounts if account.name not in failures])
        return failures

    async def forget(self, names: Collection[str]) -> None:
        """Take it that Tencent does not know these."""
        for name in names:
            self._cached.pop(name, None)
        async with self._database.write() as connection:
            await storage.forget(connection, names)

    def _unknown(self, accounts: Iterable[Account]) -> list[Account]:
        """Answer those that are not in memory, and make the others the last used."""
        unknown = []
        for account in accounts:
            if account.name in self._cached:
                self._cached.move_to_end(account.name)
            else:
                unknown.append(account)
        return unknown

    async def _load(self, accounts: Sequence[Account]) -> None:
        if accounts:
            async with self._database.read() as connection:
                imported = await storage.read_imported(connection, [account.name for account in accounts])
            self._cache(imported)

    def _cache(self, names: Iterable[str]) -> None:
        for name in names:
            self._cached[name] = None
            self._cached.move_to_end(name)
        while len(self._cached) > self._cached_max:
            self._cached.popitem(last=False)

    async def _import_together(self, accounts: Sequence[Account]) -> list[Failure | None]:
        """Import a batch, but for what the batch before it imported. One that Tencent refuses fails alone."""
        wanted = list({account.name: account for account in self._unknown(accounts)}.values())
        failures: Mapping[str, Failure] = {}
        try:
            if wanted:
                failures = await self.import_all(wanted)
        except ImCallError as error:
            if error.failure.policy is Policy.FAIL and len(wanted) > 1:
                raise _RefusedTogetherError from error
            failures = dict.fromkeys((account.name for account in wanted), error.failure)
        return [failures.get(account.name) for account in accounts]

    async def _record(self, accounts: Sequence[Account]) -> None:
        if not accounts:
            return
        async with self._database.write() as connection:
            await storage.record_imported(self._database, connection, accounts)
        self._cache(account.name for account in accounts)


class _RefusedTogetherError(Exception):
    """Accounts that are refused in one call, perhaps for one of them."""
