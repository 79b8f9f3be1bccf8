"""Recharges: begun here, paid at the payment service, credited or paid back when their money comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from mesh.errors import DomainError
from mesh.ids import IdAllocator
from mesh.messages import NewMessage, Outbox, ReceivedMessage
from order_rpc.paid_payments import NEWS_MS_MAX, PaidPayments
from order_rpc.wallet import recharge_storage, refusals, tables
from order_rpc.wallet.clients import BUSINESS, Payments
from order_rpc.wallet.domain import (
    RECHARGE_TRANSITIONS,
    CreditCoins,
    MoneyLogType,
    Recharge,
    RechargeEvent,
    RechargeStatus,
    Refusal,
)
from order_rpc.wallet.ledger import apply_within
from order_rpc.wallet.message_fields import read_number

log = telemetry.logger(part="recharges")


@dataclass(frozen=True, slots=True)
class RechargeRequest:
    """What a user asks for."""

    user_id: int
    brand_id: int
    request_id: str
    amount_fen: int
    channel: str


@dataclass(frozen=True, slots=True)
class _Money:
    """What the payment service tells of."""

    recharge_id: int
    amount_fen: int
    paid_at_ms: int


class Recharges:
    """The recharges of users. Nothing of the database is held while the payment service is called."""

    def __init__(
        self,
        database: Database,
        ids: IdAllocator,
        outbox: Outbox,
        payments: Payments,
        paid_payments: PaidPayments,
        *,
        lifetime_ms: int,
    ) -> None:
        self._database = database
        self._ids = ids
        self._outbox = outbox
        self._payments = payments
        self._paid_payments = paid_payments
        self._lifetime_ms = lifetime_ms

    async def create(self, wanted: RechargeRequest) -> Recharge:
        """Begin a recharge, or go on with it where the last call stopped; answer it with where to pay.

        The row is written first, so that money can only come for a recharge that is known. While it waits for its
        money, a repeat asks again where to pay: a channel takes no money for ever at one place. Raises KEY_REUSED,
        RECHARGE_EXPIRED, PAYMENT_CHANNEL_UNAVAILABLE, and INVALID_REQUEST for a channel that is not known.
        """
        recharge, is_new, is_payable = await self._prepare(wanted)
        if not is_payable:
            return recharge
        try:
            pay_url = await self._payments.open(recharge)
        except DomainError as error:
            if is_new and error.code is grpc.StatusCode.INVALID_ARGUMENT:
                # Nothing was opened, and nothing is to be left of a request that is refused. What an earlier call
                # wrote may have been opened by it, through a channel that was still known: its money may come.
                async with self._database.write() as connection:
                    await recharge_storage.withdraw_recharge(connection, recharge.recharge_id)
            raise
        return await self._record(recharge.recharge_id, pay_url)

    async def get(self, user_id: int, brand_id: int, recharge_id: int) -> Recharge:
        """Read a recharge. Raises RECHARGE_NOT_FOUND."""
        async with self._database.read() as connection:
            recharge = await recharge_storage.read_recharge(connection, recharge_id)
        if recharge is None or (recharge.user_id, recharge.brand_id) != (user_id, brand_id):
            raise refusals.recharge_not_found(recharge_id)
        return recharge

    async def expire_due(self, recharges_max: int) -> int:
        """Expire recharges whose time is over, and have their payments closed; answer how many there were.

        One that was paid in time, and has not heard of it, waits for the news. Raises what the payment service does
        when it is away.
        """
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            ids = await recharge_storage.overdue_ids(connection, now_ms, recharges_max)
        paid = await self._paid_payments.find(ids)
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            found = await recharge_storage.lock_recharges(connection, ids)
            # Money may have come since they were read: those stay as they are.
            unpaid = [one for one in found.values() if _is_open(one) and one.is_over(now_ms)]
            waiting = {
                one.recharge_id for one in unpaid if one.recharge_id in paid and one.is_in_time(paid[one.recharge_id])
            }
            await recharge_storage.put_off(connection, waiting, now_ms + NEWS_MS_MAX)
            overdue = [one for one in unpaid if one.recharge_id not in waiting]
            await self._expire(connection, overdue)
            closings = [_to_payment("close_wanted", one, {"business": BUSINESS}) for one in overdue]
            await self._outbox.add(connection, closings)
        await self._outbox.publish()
        return len(overdue)

    async def take_paid(self, connection: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
        """Credit recharges whose money came, or have it paid back: the effect of payment.paid.

        Whether it came in time is said by when it was paid, and not by when that is heard of. Raises
        RECHARGE_NOT_FOUND, and ValueError for another amount than the recharge's.
        """
        moneys = [_read(message) for message in messages]
        found = await recharge_storage.lock_recharges(connection, [money.recharge_id for money in moneys])
        # One that is told of twice within the batch is looked at once: what comes first decides, as always.
        firsts = {money.recharge_id: money for money in reversed(moneys)}
        for money in moneys:
            _check(money, found.get(money.recharge_id))
        by_target: dict[RechargeStatus, list[Recharge]] = {status: [] for status in RechargeStatus}
        for recharge_id, money in sorted(firsts.items()):
            recharge = found[recharge_id]
            event = RechargeEvent.PAY if recharge.is_in_time(money.paid_at_ms) else RechargeEvent.PAY_LATE
            by_target[RECHARGE_TRANSITIONS[recharge.status, event]].append(recharge)
        await self._credit(connection, [one for one in by_target[RechargeStatus.PAID] if _is_open(one)])
        late = by_target[RechargeStatus.EXPIRED]
        await self._expire(connection, [one for one in late if _is_open(one)])
        await self._pay_back(connection, late)

    async def note_refunded(self, _: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
        """Note that late money is back: the effect of payment.refunded. The recharge stays as it is."""
        for message in messages:
            log.info("late money is paid back", recharge_id=message.key, body=message.body_text)

    async def _prepare(self, wanted: RechargeRequest) -> tuple[Recharge, bool, bool]:
        """Answer the recharge of a request, whether there was none and it was written now, and whether it can be paid.

        Raises KEY_REUSED, and RECHARGE_EXPIRED for one that has no payment and can have none any more.
        """
        recharge_id = await self._ids.allocate(1)
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            fresh = Recharge(
                recharge_id, wanted.user_id, wanted.brand_id, wanted.request_id, wanted.channel, wanted.amount_fen,
                RechargeStatus.CREATED, "", now_ms, now_ms + self._lifetime_ms,
            )  # fmt: skip
            await self._database.insert_ignore(connection, tables.recharge, [recharge_storage.recharge_row(fresh)])
            found = await recharge_storage.read_recharge_of_request(
                connection, wanted.user_id, wanted.brand_id, wanted.request_id
            )
        if found is None or (found.amount_fen, found.channel) != (wanted.amount_fen, wanted.channel):
            raise refusals.key_reused(wanted.request_id)
        is_over = found.is_over(now_ms)
        if not found.pay_url and is_over:
            raise refusals.recharge_expired(found.recharge_id)
        return found, found.recharge_id == recharge_id, _is_open(found) and not is_over

    async def _record(self, recharge_id: int, pay_url: str) -> Recharge:
        """Write where to pay. Raises RECHARGE_EXPIRED when its time ran out meanwhile: then its payment is closed."""
        async with self._database.write() as connection:
            await recharge_storage.record_pay_url(connection, recharge_id, pay_url)
            recharge = await recharge_storage.read_recharge(connection, recharge_id)
        if recharge is None or recharge.status is RechargeStatus.EXPIRED:
            raise refusals.recharge_expired(recharge_id)
        return recharge

    async def _credit(self, connection: AsyncConnection, recharges: Sequence[Recharge]) -> None:
        now_ms = await self._database.now_ms(connection)
        ids = [one.recharge_id for one in recharges]
        await recharge_storage.move_recharges(connection, ids, RechargeStatus.PAID, pay_time_ms=now_ms)
        credits_ = [
            CreditCoins(one.user_id, one.brand_id, MoneyLogType.RECHARGE, one.recharge_id, one.amount_fen)
            for one in recharges
        ]
        for outcome in await apply_within(connection, self._database, credits_):
            if isinstance(outcome, Refusal):
                raise refusals.as_error(outcome)

    async def _expire(self, connection: AsyncConnection, recharges: Sequence[Recharge]) -> None:
        ids = [one.recharge_id for one in recharges]
        await recharge_storage.move_recharges(connection, ids, RechargeStatus.EXPIRED)

    async def _pay_back(self, connection: AsyncConnection, recharges: Sequence[Recharge]) -> None:
        """Ask for money back. Asked again it is the same request, which the payment service does once."""
        for one in recharges:
            log.warning("money came late and is paid back", recharge_id=one.recharge_id, amount_fen=one.amount_fen)
        await self._outbox.add(connection, [_refund_wanted(one) for one in recharges])


def _is_open(recharge: Recharge) -> bool:
    return recharge.status is RechargeStatus.CREATED


def _read(message: ReceivedMessage) -> _Money:
    body = message.body()
    return _Money(
        read_number(message.key, "key"),
        read_number(body.get("amount_fen"), "amount_fen"),
        read_number(body.get("paid_at_ms"), "paid_at_ms"),
    )


def _check(money: _Money, recharge: Recharge | None) -> None:
    if recharge is None:
        raise refusals.recharge_not_found(money.recharge_id)
    if money.amount_fen != recharge.amount_fen:
        raise ValueError(
            f"{money.amount_fen} fen came for recharge {recharge.recharge_id}, which is of {recharge.amount_fen}"
        )


def _refund_wanted(recharge: Recharge) -> NewMessage:
    body = {
        "business": BUSINESS,
        "request_id": f"recharge/{recharge.recharge_id}",
        "amount_fen": recharge.amount_fen,
        "remark": "paid after the time of the recharge was over",
    }
    return _to_payment("refund_wanted", recharge, body)


def _to_payment(tag: str, recharge: Recharge, body: dict[str, object]) -> NewMessage:
    return NewMessage(to="payment", topic="payment", tag=tag, key=str(recharge.recharge_id), body=body)
