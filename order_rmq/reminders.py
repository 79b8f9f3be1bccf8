"""Reminding sellers by mail of orders that wait to be sent: one mail an order.

A mail that was sent is remembered in Redis and told to the order service. Where this process ends between sending and
remembering, the mail goes out again with the same Message-ID, which mail programs show once.

Nobody has proven that the address is the seller's, and whoever buys what costs nothing can remind of it. So a mail has
no words of theirs, and there are only so many a day to one address, and of one buyer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import NamedTuple

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from brandmesh.messaging.v1 import messaging_pb2
from mesh import telemetry
from mesh.bus.port import Delivery
from mesh.forwarding import Forwarding, read_message
from mesh.message_queues import queue_of
from mesh.redis_script import Argument, LuaScript
from mesh.worker import Dead, Done, Outcome, Retry, Route
from order_rmq.smtp import MailNotSentError, MailRefusedError, Smtp, SmtpSession

REMINDED_QUEUE = queue_of("order", "reminded", "mail")

ATTEMPTS_MAX = 16
"""Tries of one mail, with the pauses between them some three quarters of an hour."""

SENT_KEPT_SECONDS = 30 * 86_400
"""How long it is remembered that a mail was sent: as long as messages may come again."""

DAY_SECONDS = 86_400

_BATCH_MAX = 20
_COUNT = LuaScript.from_files("order_rmq", "count_reminder.lua")
_ORDER_ID = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_LABEL = "[A-Za-z0-9-]{1,63}"
_ADDRESS = re.compile(rf"(?!.*=\?)[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})*", re.ASCII)
"""As in HTML, but for encoded words (RFC 2047): as a header each would be read as the address that it encodes."""

log = telemetry.logger(part="mail")


@dataclass(frozen=True, slots=True)
class Reminder:
    """A mail that is asked for. `attempt` counts its tries from 1.

    `buyer` names who asks; it is empty in messages that were written before they named one.
    """

    order_id: str
    to: str
    buyer: str
    attempt: int

    def mail(self) -> EmailMessage:
        """Write the mail."""
        mail = EmailMessage()
        mail["To"] = self.to
        mail["Subject"] = f"催单 / Order {self.order_id} waits to be sent"
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<order-{self.order_id}-reminded@brandmesh>"
        mail.set_content(
            f"订单 {self.order_id} 的买家请您尽快发货。\n\n"
            f"The buyer of order {self.order_id} asks you to send it soon.\n"
        )
        return mail


class Bound(NamedTuple):
    """How many mails there may be: whose bound it is, as people are told, and where it is counted."""

    whose: str
    key: str
    mails_max: int


class DailyBounds:
    """How many orders are reminded of a day: in mails to one address, and in those that one buyer asks for.

    A day begins with its first mail. A mail that is tried again is counted once.
    """

    def __init__(self, redis: Redis, *, per_recipient: int, per_buyer: int) -> None:
        self._redis = redis
        self._per_recipient = per_recipient
        self._per_buyer = per_buyer

    async def count(self, reminder: Reminder) -> Bound | None:
        """Count a mail that is about to be sent; answer the bound that it would go beyond, and then it is not counted.

        Raises RedisError.
        """
        # One hash tag, for a cluster. The buyer comes first: who is at the own bound uses up no address's.
        bounds = [Bound("recipient", f"mail:{{reminded}}:to:{reminder.to.lower()}", self._per_recipient)]
        if reminder.buyer:
            bounds.insert(0, Bound("buyer", f"mail:{{reminded}}:by:{reminder.buyer}", self._per_buyer))
        arguments: list[Argument] = [reminder.order_id, DAY_SECONDS, *(one.mails_max for one in bounds)]
        full = await _COUNT.run(self._redis, [one.key for one in bounds], arguments)
        return bounds[full - 1] if isinstance(full, int) and full else None


class Reminders:
    """Handles reminders. Without a mail server each stops, for an operator to requeue once there is one."""

    def __init__(self, smtp: Smtp | None, redis: Redis, forwarding: Forwarding, bounds: DailyBounds) -> None:
        self._smtp = smtp
        self._redis = redis
        self._forwarding = forwarding
        self._bounds = bounds

    def route(self) -> Route:
        """The queue of reminders, which is not handed on to any service."""
        return Route(
            name="reminders",
            prefix=REMINDED_QUEUE,
            accepts=lambda queue: queue == REMINDED_QUEUE,
            handler=self.handle,
            batch_max=_BATCH_MAX,
        )

    async def handle(self, _: str, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Send the mails of some messages over one connection, and tell the order service what came of each."""
        messages = [read_message(delivery) for delivery in deliveries]
        read = [_read(message, one.attempt) for message, one in zip(messages, deliveries, strict=True)]
        sent = iter(await self._send_all([one for one in read if isinstance(one, Reminder)]))
        outcomes = [next(sent) if isinstance(one, Reminder) else one for one in read]
        await self._forwarding.settle(_with(messages, outcomes, Done), _with(messages, outcomes, Dead))
        return outcomes

    async def _send_all(self, reminders: Sequence[Reminder]) -> list[Outcome]:
        if self._smtp is None:
            return [Dead("no mail server is set up: set BRANDMESH_SMTP_HOST, then requeue")] * len(reminders)
        if not reminders:
            return []
        try:
            async with self._smtp.session() as session:
                return [await self._send(session, one) for one in reminders]
        except MailNotSentError as error:
            # There is no connection. What goes wrong with one mail is its own outcome.
            return [_again(one, error) for one in reminders]

    async def _send(self, session: SmtpSession, reminder: Reminder) -> Outcome:
        name = f"mail:reminded:{reminder.order_id}"
        if await self._redis.exists(name):
            return Done()
        bound = await self._bounds.count(reminder)
        if bound is not None:
            return _beyond(reminder, bound)
        try:
            await session.send(reminder.mail())
        except MailRefusedError as error:
            return _refused(reminder, error)
        except MailNotSentError as error:
            return _again(reminder, error)
        log.info("seller reminded", order_id=reminder.order_id)
        try:
            await self._redis.set(name, 1, ex=SENT_KEPT_SECONDS)
        except RedisError as error:
            log.warning("a mail may go out twice", order_id=reminder.order_id, error=str(error))
        return Done()


def _with(
    messages: Sequence[messaging_pb2.Message | Dead], outcomes: Sequence[Outcome], kind: type[Outcome]
) -> list[messaging_pb2.Message]:
    """Answer the messages with such an outcome, as far as they can be read."""
    pairs = zip(messages, outcomes, strict=True)
    return [one for one, outcome in pairs if isinstance(outcome, kind) and isinstance(one, messaging_pb2.Message)]


def _read(message: messaging_pb2.Message | Dead, attempt: int) -> Reminder | Dead:
    if isinstance(message, Dead):
        return message
    try:
        body = orjson.loads(message.msg_body)
    except ValueError as error:
        return Dead(f"cannot be read: {error}")
    to, buyer = (str(body.get(name, "")) for name in ("to", "buyer")) if isinstance(body, dict) else ("", "")
    if not _ORDER_ID.fullmatch(message.msg_key) or not _ADDRESS.fullmatch(to):
        return Dead("names no order, or no address")
    return Reminder(message.msg_key, to, buyer, attempt)


def _beyond(reminder: Reminder, bound: Bound) -> Outcome:
    log.warning(
        "reminder not sent: too many a day",
        order_id=reminder.order_id,
        whose=bound.whose,
        buyer=reminder.buyer,
        mails_max=bound.mails_max,
    )
    return Dead(f"not sent: its {bound.whose} has had {bound.mails_max} reminders within a day; requeue it after that")


def _refused(reminder: Reminder, error: Exception) -> Outcome:
    log.error("mail refused", order_id=reminder.order_id, error=str(error))
    return Dead(f"refused by the mail server: {error}")


def _again(reminder: Reminder, error: Exception) -> Outcome:
    if reminder.attempt >= ATTEMPTS_MAX:
        log.error("mail given up", order_id=reminder.order_id, error=str(error))
        return Dead(f"not sent in {ATTEMPTS_MAX} attempts: {error}")
    return Retry(str(error))
