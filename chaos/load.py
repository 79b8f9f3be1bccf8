"""What apps do all day, all of it at once: codes, notices, campaigns, cancels, calls to the kitchen, purchases."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from chaos.customer import Customer, NotAcknowledgedError
from chaos.paying import IN_TIME_SECONDS, Channel
from chaos.told import Called, CancelledSms, CancelledTask, Ordered, Sent
from meshctl.app import Json

SHOP_ID = 900
CHANNELS = ("kitchen", "call_screen")
REPEATS = 2

_CAMPAIGN_MAX = 300
_SCHEDULE_SECONDS = (8.0, 15.0)
"""Longer than most outages."""
_PAUSE_SECONDS_MAX = 0.25
_PACKAGE = "sms-1000"
_TYPES = ("verification", "notification", "marketing")

_phone_numbers = itertools.count(1)


@dataclass(slots=True)
class Shopper:
    """One of the people who use a brand's app: does one thing after the other until told to stop."""

    customer: Customer
    channel: Channel
    random: Random
    name: str
    _number: itertools.count[int] = field(default_factory=itertools.count)

    async def run(self, stop: asyncio.Event) -> None:
        """Do things at random; what is begun is brought to its end even when it is time to stop."""
        habits: dict[Callable[[], Awaitable[None]], int] = {
            self._send_one: 10,
            self._send_campaign: 2,
            self._send_later: 2,
            self._call: 4,
            self._buy: 1,
        }
        while not stop.is_set():
            (act,) = self.random.choices(list(habits), list(habits.values()))
            # What was not acknowledged is written down, and nothing can follow from it.
            with suppress(NotAcknowledgedError):
                await act()
            await asyncio.sleep(self.random.uniform(0, _PAUSE_SECONDS_MAX))

    def _next_id(self) -> str:
        return f"{self.name}-{next(self._number)}"

    async def _send(self, sms_type: str, count: int, may_refuse: Collection[str] = (), **further: str) -> Sent:
        request_id = self._next_id()
        body = {
            "requestId": request_id,
            "type": sms_type,
            # Each phone gets one message in a run, so a second one is seen.
            "phones": [f"138{next(_phone_numbers):08d}" for _ in range(count)],
            "content": self.random.choice(("Your code is 246810", "Your table is ready. " * 5)).strip(),
            "signature": "brandmesh",
            **further,
        }
        answer = await self.customer.insist("POST", "/sms", body, may_refuse=may_refuse)
        sent = Sent(
            self.customer.brand_id,
            request_id,
            answer["taskId"],
            tuple(message["messageId"] for message in answer["messages"]),
            answer["acceptedCount"],
            answer["frozen"],
        )
        self.customer.told.sends.append(sent)
        return sent

    async def _send_one(self) -> None:
        await self._send(self.random.choice(_TYPES), 1)

    async def _send_campaign(self) -> None:
        await self._send(self.random.choice(_TYPES[1:]), self.random.randint(2, _CAMPAIGN_MAX))

    async def _send_later(self) -> None:
        """Schedule a send, and cancel some before their time, or at it, or after."""
        seconds = self.random.uniform(*_SCHEDULE_SECONDS)
        at = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        # What gets through only after its time is refused.
        may_refuse = {"INVALID_REQUEST"}
        sent = await self._send("marketing", self.random.randint(1, 5), may_refuse, scheduleTime=at)
        way = self.random.choice(("message", "task", "none"))
        await asyncio.sleep(self.random.uniform(0, 1.2 * seconds) if way != "none" else 0)
        if way == "message":
            await self._cancel_message(sent)
        elif way == "task":
            await self._cancel_task(sent)

    async def _cancel_message(self, sent: Sent) -> None:
        message_id = sent.message_ids[0]
        await self.customer.insist("POST", f"/sms/{message_id}:cancel", {}, may_refuse={"SMS_NOT_CANCELLABLE"})
        self.customer.told.cancelled_sms.append(CancelledSms(sent.brand_id, message_id))

    async def _cancel_task(self, sent: Sent) -> None:
        answer = await self.customer.insist(
            "POST", f"/smsTasks/{sent.task_id}:cancel", {}, may_refuse={"SMS_NOT_CANCELLABLE"}
        )
        count = answer["cancelledCount"]
        self.customer.told.cancelled_tasks.append(CancelledTask(sent.brand_id, sent.task_id, count))

    async def _call(self) -> None:
        name = self._next_id()
        body = {
            "requestId": name,
            "event": "catering_ordered",
            "Channels": CHANNELS,
            "callParams": {"name": name},
            "shopId": SHOP_ID,
            "MsgType": "broadcast",
        }
        answer = await self.customer.insist("POST", "/imCalls", body)
        called = Called(self.customer.brand_id, answer["callId"], name)
        self.customer.told.calls.append(called)
        if self.random.random() < 0.2:  # noqa: PLR2004  # a fifth of the rooms order something else after all
            await self.customer.insist("POST", f"/imCalls/{called.call_id}:cancel", {})

    async def _buy(self) -> None:
        """Order a package; pay it, or cancel it."""
        began = asyncio.get_running_loop().time()
        order = (
            await self.customer.insist(
                "POST", "/smsPackageOrders", {"requestId": self._next_id(), "packageId": _PACKAGE}
            )
        )["order"]
        is_wanted, is_taken = self.random.random() < 0.7, False  # noqa: PLR2004  # some buyers change their mind
        path = f"/smsPackageOrders/{order['orderId']}"
        if is_wanted:
            # An order whose time ran out meanwhile can no longer be paid.
            payment = await self.customer.insist("POST", f"{path}:pay", {}, may_refuse={"ORDER_NOT_PAYABLE"})
            is_taken = await self.channel.pay(payment["payment"]["payUrl"])
        else:
            await self.customer.insist("POST", f"{path}:cancel", {})
        credit = order["package"]["credits"] * order["quantity"]
        is_late = asyncio.get_running_loop().time() > began + IN_TIME_SECONDS
        self.customer.told.orders.append(
            Ordered(self.customer.brand_id, order["orderId"], credit, is_taken, is_late=is_late)
        )


async def furnish(customer: Customer) -> None:
    """Give a brand a shop whose kitchen and call screen repeat what they are told."""
    app = customer.app
    for channel in CHANNELS:
        device: Json = {"shopId": SHOP_ID, "channel": channel, "location": "chaos"}
        await app.ok("PUT", f"/imDevices/chaos-{channel.replace('_', '-')}", device)
    template = {"requestId": "chaos", "name": "chaos", "content": "[{name}]"}
    template_id = (await app.ok("POST", "/imTemplates", template))["template"]["templateId"]
    for channel in CHANNELS:
        config = {
            "shopId": SHOP_ID,
            "event": "catering_ordered",
            "channel": channel,
            "enabled": True,
            "templateId": template_id,
            "repeatCount": REPEATS,
            "intervalSeconds": 1,
        }
        await app.ok("PUT", "/broadcastConfigs", {"config": config})
