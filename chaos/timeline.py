"""What happened in a run, in its order: printed as it happens, and kept for the run's JSON."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, so many seconds after the run began."""

    at_seconds: float
    what: str


@dataclass(slots=True)
class Timeline:
    """The events of a run."""

    is_loud: bool = True
    events: list[Event] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    def note(self, what: str) -> None:
        """Write down that something happens now."""
        event = Event(round(time.monotonic() - self._began, 2), what)
        self.events.append(event)
        if self.is_loud:
            sys.stdout.write(f"{event.at_seconds:7.2f} s  {what}\n")
            sys.stdout.flush()
