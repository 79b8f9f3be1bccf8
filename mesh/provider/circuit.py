"""A circuit per provider account: stops calling an account that refuses us or cannot be reached.

Small and its own: the libraries for it (purgatory, aiobreaker) open on exceptions after a count, whereas here an
outcome opens it, a stop code at once, and a caller can ask before it pays whether a call would be let through.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum

from prometheus_client import Gauge

from mesh import telemetry

PROBE_WAIT_SECONDS = 1.0

_OPEN = Gauge("brandmesh_provider_circuit_open", "1 while an account is not called", ["account"])

_log = telemetry.logger()


class Trouble(Enum):
    """What an outcome says about the account that gave it, whatever it says about the message."""

    NONE = "none"
    TRANSPORT = "transport"
    """The call did not come through, or its answer did not."""
    ACCOUNT = "account"
    """The provider refuses the account itself; every call will end so until somebody acts."""


class CircuitState(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """The time is over; one call may try."""


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """When a circuit opens and for how long."""

    failures_max: int
    open_seconds: float
    stop_seconds: float


@dataclass(frozen=True, slots=True)
class Passage:
    """One call that was let through. Made by `enter`, given back to `leave`."""

    generation: int


class Circuit:
    """Closed until the account is refused or calls fail in a row, then open, then open to one trying call."""

    def __init__(self, account: str, policy: CircuitPolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._account = account
        self._policy = policy
        self._clock = clock
        self._failures = 0
        self._opened_until: float | None = None
        self._probing = False
        self._reason = ""
        # Calls that began before the last change say nothing about the time after it.
        self._generation = 0
        _OPEN.labels(account).set(0)

    @property
    def state(self) -> CircuitState:
        """Whether calls go through at present."""
        if self._opened_until is None:
            return CircuitState.CLOSED
        return CircuitState.HALF_OPEN if self._clock() >= self._opened_until else CircuitState.OPEN

    def permits(self) -> bool:
        """Tell whether `enter` would let a call through now."""
        return self.state is CircuitState.CLOSED or (self.state is CircuitState.HALF_OPEN and not self._probing)

    @property
    def reason(self) -> str:
        """Why it opened last, as UPPER_SNAKE; "" if it never did."""
        return self._reason

    @property
    def retry_after_seconds(self) -> float:
        """How long to wait before `permits` may say yes; 0 when it does."""
        if self._opened_until is None or self.permits():
            return 0.0
        return max(self._opened_until - self._clock(), PROBE_WAIT_SECONDS)

    def enter(self) -> Passage | None:
        """Let one call through, which has to `leave`; None while the circuit is open."""
        if not self.permits():
            return None
        self._probing = self._opened_until is not None
        return Passage(self._generation)

    def leave(self, passage: Passage, trouble: Trouble | None, reason: str = "") -> None:
        """Take a call back with what it met; None: it was cancelled and met nothing."""
        if passage.generation != self._generation:
            return
        self._probing = False
        match trouble:
            case Trouble.NONE:
                self._close()
            case Trouble.ACCOUNT:
                self._open(self._policy.stop_seconds, reason)
            case Trouble.TRANSPORT:
                self._failures += 1
                if self._opened_until is not None or self._failures >= self._policy.failures_max:
                    self._open(self._policy.open_seconds, reason)
            case None:
                pass

    def _open(self, seconds: float, reason: str) -> None:
        is_news = self._opened_until is None or reason != self._reason
        self._opened_until = self._clock() + seconds
        self._reason = reason
        self._failures = 0
        self._generation += 1
        _OPEN.labels(self._account).set(1)
        if is_news:
            _log.warning("provider_circuit_opened", account=self._account, reason=reason, seconds=seconds)

    def _close(self) -> None:
        self._failures = 0
        if self._opened_until is None:
            return
        self._opened_until = None
        self._generation += 1
        _OPEN.labels(self._account).set(0)
        _log.warning("provider_circuit_closed", account=self._account)
