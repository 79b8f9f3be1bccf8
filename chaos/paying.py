"""Paying at the channel, as a buyer's browser does, and recharging wallets by it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus

import aiohttp

from chaos.customer import Customer, NotAcknowledgedError
from chaos.shop_told import Recharged
from mesh.money import to_yuan

IN_TIME_SECONDS = 40.0
"""What is paid so soon after it was ordered is paid in time: with `chaos.site.FAST` all of it waits a minute."""

_PAUSE_SECONDS = 0.25
_TRIES_MAX = 100


class Channel:
    """The pages at which buyers of one app pay."""

    def __init__(self, session: aiohttp.ClientSession, customer: Customer) -> None:
        self._session = session
        self._customer = customer

    async def pay(self, url: str) -> bool:
        """Pay; answer False where the channel has closed the payment. Raises NotAcknowledgedError."""
        for _ in range(_TRIES_MAX):
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self._session.post(f"{url}:pay") as response:
                    if response.status in {HTTPStatus.OK, HTTPStatus.CONFLICT}:
                        return response.status == HTTPStatus.OK
            await asyncio.sleep(_PAUSE_SECONDS)
        self._customer.told.unanswered.append(f"POST {url}:pay")
        raise NotAcknowledgedError

    async def recharge(self, user_id: str, request_id: str, amount_fen: int, *, is_paid: bool = True) -> None:
        """Begin a recharge of a user's wallet, and pay it or not. Raises NotAcknowledgedError."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        body = {"requestId": request_id, "amount": to_yuan(amount_fen)}
        # Where nothing answers for longer than a recharge can be paid, it is over before its page is known.
        answer = await self._customer.insist(
            "POST", f"/users/{user_id}/recharges", body, may_refuse={"RECHARGE_EXPIRED"}
        )
        recharge = answer["recharge"]
        told = Recharged(self._customer.brand_id, user_id, recharge["rechargeId"], amount_fen)
        self._customer.told.shop.recharged.append(told)
        if is_paid and await self.pay(recharge["payUrl"]) and loop.time() < began + IN_TIME_SECONDS:
            self._customer.told.shop.recharges_paid.append(told.recharge_id)
