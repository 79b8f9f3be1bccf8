"""A provider at the vendor's edge, that answers as a test says."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from mesh.provider.circuit import Circuit, CircuitPolicy
from mesh.provider.rate_limit import Throttle, TokenBucket
from sms_rmq.providers.accounts import Account
from sms_rmq.providers.port import Accepted, Outcome, Pulled, Receipt, Submission, Uplink
from sms_rmq.providers.settings import ProviderAccountSettings

Step: TypeAlias = Outcome | BaseException | Callable[[Submission], Awaitable[Outcome]]

ItemT = TypeVar("ItemT", Receipt, Uplink)

PROVIDER_MESSAGE_ID = "26112115004712345"


class ScriptedProvider:
    """Implements `Provider`. Each submission takes the next step of the script, and is accepted beyond its end."""

    def __init__(self) -> None:
        self.script: deque[Step] = deque()
        self.submissions: list[Submission] = []
        self.receipts: deque[Pulled[Receipt] | Exception] = deque()
        self.uplinks: deque[Pulled[Uplink] | Exception] = deque()

    @property
    def phones(self) -> list[str]:
        """Every phone that it was given a message for, in order."""
        return [recipient.phone_e164 for submission in self.submissions for recipient in submission.recipients]

    async def submit(self, submission: Submission) -> Outcome:
        self.submissions.append(submission)
        step = self.script.popleft() if self.script else Accepted(PROVIDER_MESSAGE_ID)
        if isinstance(step, BaseException):
            raise step
        return await step(submission) if callable(step) else step

    async def pull_receipts(self) -> Pulled[Receipt]:
        return _next(self.receipts)

    async def pull_uplinks(self) -> Pulled[Uplink]:
        return _next(self.uplinks)

    def as_account(self, clock: Callable[[], float], **settings: object) -> Account:
        """Make a real account of it, whose circuit goes by `clock`."""
        fields = {"name": "scripted", "base_url": "http://127.0.0.1:9", "account": "a", "password": "p"} | settings
        read = ProviderAccountSettings.model_validate(fields)
        policy = CircuitPolicy(read.circuit_failures_max, read.circuit_open_seconds, read.circuit_stop_seconds)
        throttle = Throttle(TokenBucket(10_000, 0.2), 100, 0.2, wait_seconds_max=2, waiting_max=1000)
        return Account(read, self, Circuit(read.name, policy, clock), throttle)


def _next(waiting: deque[Pulled[ItemT] | Exception]) -> Pulled[ItemT]:
    step: Pulled[ItemT] | Exception = waiting.popleft() if waiting else Pulled([], [])
    if isinstance(step, Exception):
        raise step
    return step
