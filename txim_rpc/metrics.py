"""Prometheus metrics of the calls to Tencent, and of the messages in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter, Histogram

from txim_rpc.domain import Command, Outcome, Policy, Result

CALLS: Final = Counter("brandmesh_txim_calls", "Calls of a command by outcome", ["command", "outcome"])
SECONDS: Final = Histogram(
    "brandmesh_txim_call_seconds",
    "Duration of a call, its wait for a turn included",
    ["command"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
MESSAGES: Final = Counter("brandmesh_txim_messages", "Messages to one account by outcome", ["outcome"])

_OUTCOMES: Final = (*(policy.value for policy in Policy), "ok")
_calls = {(command, outcome): CALLS.labels(command.label, outcome) for command in Command for outcome in _OUTCOMES}
_seconds = {command: SECONDS.labels(command.label) for command in Command}
_messages = {outcome: MESSAGES.labels(outcome.value.lower()) for outcome in Outcome}


def record_call(command: Command, policy: Policy | None, seconds: float) -> None:
    """Count one call; None: it succeeded."""
    _seconds[command].observe(seconds)
    _calls[command, policy.value if policy else "ok"].inc()


def record_messages(results: Iterable[Result]) -> None:
    """Count what became of messages."""
    for result in results:
        _messages[result.outcome].inc()
