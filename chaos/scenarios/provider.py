"""The outside world at its worst: it hangs, breaks, loses answers to what it took, is slow, and repeats itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Any

from chaos.plan import Step, Value, moments
from chaos.scenario import Scenario
from chaos.site import Site

_EVERY_SECONDS = 2.0
_LAST_SECONDS = (2.0, 6.0)

_KINDS: tuple[tuple[str, dict[str, Value]], ...] = (
    ("hang", {}),
    ("hang", {"accepted": True}),
    ("http_error", {"status": 502}),
    ("http_error", {"status": 500, "accepted": True}),
    ("lose_response", {}),
    ("slow_answer", {"delay_seconds": 2}),
    ("receipt_first", {}),
    ("duplicate_receipt", {"copies": 3}),
    ("reorder_receipt", {"spread_seconds": 3}),
    ("delay_receipt", {"delay_seconds": 4}),
    ("fail_receipt", {}),
    ("drop_receipt", {}),
    ("answer_code", {"code": "103"}),
    ("integer_code", {}),
    ("payment_duplicate_notify", {"copies": 3}),
    ("payment_late_notify", {"delay_seconds": 4}),
    ("payment_lose_response", {}),
    ("payment_http_error", {"status": 502}),
    ("payment_http_error", {"status": 500, "accepted": True}),
    ("payment_pending_refund", {}),
    ("txim_hang", {"accepted": True}),
    ("txim_lose_response", {}),
    ("txim_http_error", {"status": 503}),
    ("txim_error", {"code": 60008, "accepted": True}),
    ("txim_slow_answer", {"delay_seconds": 2}),
    ("txim_forget_account", {}),
)
"""Faults of the sandbox with their fields (sandbox/README.md)."""


def draw(random: Random, seconds: float) -> Iterator[Step]:
    """Have each kind in an order of chance, each for some seconds and for a part of the calls; they overlap."""
    order: list[tuple[str, dict[str, Value]]] = []
    for at_seconds in moments(random, seconds, _EVERY_SECONDS):
        order = order or random.sample(_KINDS, len(_KINDS))
        kind, fields = order.pop()
        probability = random.choice((0.1, 0.3, 1.0))
        last_seconds = round(random.uniform(*_LAST_SECONDS), 2)
        yield Step(
            at_seconds, "misbehave", {"kind": kind, "seconds": last_seconds, "probability": probability, **fields}
        )


async def misbehave(site: Site, kind: str, seconds: float, **fields: Any) -> None:
    """Have one fault on for some seconds."""
    async with site.outside_fault(kind, **fields):
        await asyncio.sleep(seconds)


SCENARIO = Scenario(
    "provider",
    "the SMS provider, Tencent and the payment channel hang, break, lose answers, are late and repeat themselves",
    {"misbehave": misbehave},
    draw,
)
