"""Prometheus metrics of provider accounts."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

from sms_rmq.providers.port import Accepted, Outcome, Rejected, RetryLater, Unknown

SUBMISSIONS: Final = Counter("brandmesh_provider_submissions", "Submissions by outcome", ["account", "outcome"])
MESSAGES: Final = Counter("brandmesh_provider_messages", "Messages submitted, by outcome", ["account", "outcome"])
SECONDS: Final = Histogram(
    "brandmesh_provider_submission_seconds",
    "Duration of a submission, its wait for a turn included",
    ["account"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
)

OUTCOME_LABELS: Final[dict[type[Outcome], str]] = {
    Accepted: "accepted",
    Rejected: "rejected",
    RetryLater: "retry_later",
    Unknown: "unknown",
}


class AccountMeters:
    """The meters of one account, looked up once."""

    def __init__(self, account: str) -> None:
        self._submissions = {each: SUBMISSIONS.labels(account, label) for each, label in OUTCOME_LABELS.items()}
        self._messages = {each: MESSAGES.labels(account, label) for each, label in OUTCOME_LABELS.items()}
        self._seconds = SECONDS.labels(account)

    def record(self, outcome: Outcome, messages: int, seconds: float) -> None:
        """Count one submission."""
        self._seconds.observe(seconds)
        self._submissions[type(outcome)].inc()
        self._messages[type(outcome)].inc(messages)
