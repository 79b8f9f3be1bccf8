"""Flash sales of a brand, one after the other: few goods, and a crowd that comes at one moment."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from chaos.customer import Customer, NotAcknowledgedError
from chaos.paying import Channel
from chaos.shop import buyers_of, onlookers_of, seller_of
from chaos.shop_told import Published, Tried
from mesh.money import to_yuan

_PRICE_FEN = 9_90
_COINS_FEN = 100_00
_TRIES_MAX = 3
_HOURS = timedelta(hours=2)
"""More than the clocks of two processes are apart (chaos/scenarios/clocks.py)."""

_LOOKS_MAX = 40
_LOOK_SECONDS = 0.25
_PAUSE_SECONDS_MAX = 1.0

_BUY_MAY_REFUSE = frozenset({"FLASH_SALE_SOLD_OUT", "FLASH_SALE_LIMIT_REACHED"})


@dataclass(slots=True)
class Crowd:
    """The users who come for the flash sales of a brand, and the one who publishes them."""

    customer: Customer
    channel: Channel
    random: Random
    _number: itertools.count[int] = field(default_factory=itertools.count)

    async def run(self, stop: asyncio.Event) -> None:
        """Publish sales until told to stop; each is over when nobody of the crowd wants more."""
        brand_id = self.customer.brand_id
        onlookers = onlookers_of(brand_id)
        await self._all_of([self._recharge(user_id) for user_id in onlookers[::2]])
        while not stop.is_set():
            with suppress(NotAcknowledgedError):
                sale = await self._publish()
                crowd = [*buyers_of(brand_id), *onlookers]
                await self._all_of([self._try_to_buy(sale, user_id) for user_id in crowd])
            await asyncio.sleep(self.random.uniform(0, _PAUSE_SECONDS_MAX))

    def _next_id(self, user_id: str) -> str:
        return f"{user_id}-flash-{next(self._number)}"

    async def _publish(self) -> Published:
        seller_id, number, limit = (
            seller_of(self.customer.brand_id),
            self.random.randint(2, 6),
            self.random.choice((1, 1, 2)),
        )
        now = datetime.now(UTC)
        body = {
            "requestId": self._next_id(seller_id),
            "goodsName": "flash",
            "price": to_yuan(_PRICE_FEN),
            "goodsNumber": str(number),
            "perUserLimit": limit,
            "startTime": (now - _HOURS).isoformat(),
            "endTime": (now + _HOURS).isoformat(),
        }
        answer = await self.customer.insist("POST", f"/users/{seller_id}/flashSales", body)
        published = Published(self.customer.brand_id, answer["flashSale"]["flashSaleId"], number, limit)
        self.customer.told.shop.published.append(published)
        return published

    async def _try_to_buy(self, sale: Published, user_id: str) -> None:
        """Try, and try again: to have another one, or with coins after they were short."""
        path = f"/users/{user_id}/flashSales/{sale.flash_sale_id}"
        for _ in range(self.random.randint(1, _TRIES_MAX)):
            body = {"requestId": self._next_id(user_id)}
            answer = await self.customer.insist("POST", f"{path}:buy", body, may_refuse=_BUY_MAY_REFUSE)
            attempt_id = answer["attempt"]["attemptId"]
            told = self.customer.told.shop
            told.tried.append(Tried(sale.brand_id, user_id, sale.flash_sale_id, attempt_id))
            status = await self._outcome(f"{path}/attempts/{attempt_id}")
            if status == "sold":
                told.sold.append(attempt_id)
            elif status == "coins_short":
                await self._recharge(user_id)

    async def _outcome(self, path: str) -> str:
        """Look until something came of an attempt, for some seconds; answer where it stands then."""
        for _ in range(_LOOKS_MAX):
            status = str((await self.customer.insist("GET", path))["attempt"]["status"])
            if status != "in_progress":
                break
            await asyncio.sleep(_LOOK_SECONDS)
        return status

    async def _recharge(self, user_id: str) -> None:
        await self.channel.recharge(user_id, self._next_id(user_id), _COINS_FEN)

    async def _all_of(self, acts: list[Coroutine[Any, Any, None]]) -> None:
        """Have everybody act at once; who is refused goes away."""
        for outcome in await asyncio.gather(*acts, return_exceptions=True):
            if outcome is not None and not isinstance(outcome, NotAcknowledgedError):
                raise outcome
