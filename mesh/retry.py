"""How often, and after which pauses, something is tried again: a policy is a value."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass

_random = secrets.SystemRandom()
_DOUBLINGS_MAX = 64
"""Enough for any factor to reach any sensible ceiling; bounds the power, which would overflow."""


def full_jitter_seconds(attempt: int, first_seconds: float, factor: float, seconds_max: float) -> float:
    """Pick a pause after failed attempt number `attempt` (from 1), evenly between 0 and a ceiling that grows.

    Full jitter, because those who failed together would otherwise come back together.
    """
    ceiling = first_seconds * factor ** min(attempt - 1, _DOUBLINGS_MAX)
    return _random.uniform(0, min(ceiling, seconds_max))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a message is tried again.

    `attempts_max` None means for ever: what costs money or was promised is never given up, and past
    `alert_age_seconds` each further failure is logged as an error and counted, for a person to look at.
    """

    attempts_max: int | None = None
    first_delay_seconds: float = 1.0
    factor: float = 2.0
    delay_seconds_max: float = 300.0
    alert_age_seconds: float = 3600.0

    def __post_init__(self) -> None:
        if self.attempts_max is not None and self.attempts_max < 1:
            raise ValueError(f"attempts_max is {self.attempts_max}, must be 1 or more, or None for no limit")
        if self.factor < 1 or not 0 < self.first_delay_seconds <= self.delay_seconds_max:
            raise ValueError("need factor >= 1 and 0 < first_delay_seconds <= delay_seconds_max")

    def is_exhausted(self, attempt: int) -> bool:
        """Tell whether `attempt`, which failed, was the last one."""
        return self.attempts_max is not None and attempt >= self.attempts_max

    def delay_seconds(self, attempt: int) -> int:
        """Pick the pause after failed attempt number `attempt` (from 1): whole seconds, at least one."""
        return max(
            1, math.ceil(full_jitter_seconds(attempt, self.first_delay_seconds, self.factor, self.delay_seconds_max))
        )
