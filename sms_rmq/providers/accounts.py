"""The provider accounts of this process: which one carries a submission, and what stands before each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from mesh.provider.circuit import Circuit
from mesh.provider.rate_limit import Priority, Throttle, ThrottledError
from sms_rmq.providers import metrics
from sms_rmq.providers.port import Outcome, Provider, Rejected, RetryLater, SmsType, Submission
from sms_rmq.providers.settings import ProviderAccountSettings

MAINLAND_PREFIX: Final = "+86"


class Account:
    """One provider account behind its circuit and its throttle. Counts and times what goes through."""

    def __init__(
        self, settings: ProviderAccountSettings, provider: Provider, circuit: Circuit, throttle: Throttle
    ) -> None:
        self.name = settings.name
        self.provider = provider
        self.circuit = circuit
        self.international = settings.international
        self._types = settings.types
        self._brands = settings.brands
        self._throttle = throttle
        self._meters = metrics.AccountMeters(settings.name)

    def carries(self, sms_type: SmsType, *, mainland: bool) -> bool:
        """Tell whether messages of this type and destination go by this account."""
        return sms_type in self._types and mainland != self.international

    def names(self, brand_id: int) -> bool:
        """Tell whether the account is one of this brand's own."""
        return brand_id in self._brands

    @property
    def is_shared(self) -> bool:
        """Whether every brand may use the account."""
        return not self._brands

    async def submit(self, submission: Submission) -> Outcome:
        """Submit when it is this submission's turn; `RetryLater` while the circuit is open or no turn is to be had."""
        started = time.perf_counter()
        outcome = await self._submit(submission)
        self._meters.record(outcome, len(submission.recipients), time.perf_counter() - started)
        return outcome

    async def _submit(self, submission: Submission) -> Outcome:
        if not self.circuit.permits():
            return self._circuit_is_open()
        try:
            async with self._throttle.admit(priority_of(submission)):
                return await self._call(submission)
        except ThrottledError as error:
            return RetryLater(error.retry_after_seconds, "", "PROVIDER_RATE")

    async def _call(self, submission: Submission) -> Outcome:
        passage = self.circuit.enter()
        if passage is None:
            return self._circuit_is_open()
        try:
            outcome = await self.provider.submit(submission)
        except BaseException:
            self.circuit.leave(passage, None)
            raise
        self.circuit.leave(passage, outcome.trouble, outcome.reason)
        return outcome

    def _circuit_is_open(self) -> RetryLater:
        return RetryLater(self.circuit.retry_after_seconds, "", "PROVIDER_CIRCUIT_OPEN")


class ProviderAccounts:
    """All accounts, in the order in which they are asked."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self.accounts = tuple(accounts)

    def choose(self, brand_id: int, sms_type: SmsType, *, mainland: bool) -> Account | None:
        """Find the account for a message: the brand's own before the shared ones, in their order."""
        able = [account for account in self.accounts if account.carries(sms_type, mainland=mainland)]
        own = (account for account in able if account.names(brand_id))
        shared = (account for account in able if account.is_shared)
        return next(own, None) or next(shared, None)

    async def submit(self, submission: Submission) -> Outcome:
        """Submit by the account that carries it. No account, or recipients of both kinds: `Rejected`."""
        mainland = {recipient.phone_e164.startswith(MAINLAND_PREFIX) for recipient in submission.recipients}
        if len(mainland) > 1:
            return Rejected("", "MIXED_DESTINATIONS")
        account = self.choose(submission.brand_id, submission.sms_type, mainland=mainland.pop())
        if account is None:
            return Rejected("", "NO_PROVIDER_ACCOUNT")
        return await account.submit(submission)


def priority_of(submission: Submission) -> Priority:
    """Put verification codes first, and single notifications; marketing and batches of notifications wait."""
    if submission.sms_type == "verification":
        return Priority.URGENT
    if submission.sms_type == "marketing" or submission.mode == "batch":
        return Priority.BULK
    return Priority.URGENT
