"""What providers push or we pull: receipts and messages from handsets, on their way to sms_rpc and the cost center."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from brandmesh.costcenter.v1 import costcenter_pb2
from brandmesh.sms.v1 import sms_pb2
from mesh import telemetry
from mesh.bus.port import DEAD_REASON_HEADER, DEAD_SUFFIX, Bus, Delivery, Message
from mesh.giving_way import GivingWay
from mesh.inbox import Inbox, InboxItem, InboxOutcome, Requeue
from mesh.worker import Done, Outcome
from sms_rmq.clients import CostCenter, SmsDispatches
from sms_rmq.providers.accounts import Account
from sms_rmq.providers.port import (
    Callbacks,
    MalformedCallbackError,
    ProviderCallError,
    Pulled,
    Receipt,
    Uplink,
    Verdict,
)

INBOX_NAME = "sms.receipts"
"""The Redis lists that the gateway's webhook pushes to."""

CALLBACK_QUEUE = "sms.callbacks"
"""Callbacks that could not be read are the dead letters of this queue. Put back, they go through the inbox again."""

MALFORMED_QUEUE = f"{CALLBACK_QUEUE}{DEAD_SUFFIX}"

_PULLS_MAX = 50
"""Pulls of one account in a row: 100 receipts each."""

_VERDICTS = {
    Verdict.DELIVERED: sms_pb2.RECEIPT_VERDICT_DELIVERED,
    Verdict.UNDELIVERED: sms_pb2.RECEIPT_VERDICT_UNDELIVERED,
    Verdict.PENDING: sms_pb2.RECEIPT_VERDICT_PENDING,
}

Callback: TypeAlias = Receipt | Uplink

log = telemetry.logger()


@dataclass(frozen=True, slots=True)
class Readers:
    """Read callbacks, of accounts for mainland China and of international ones: they write phones differently."""

    mainland: Callbacks
    international: Callbacks


class CallbackHandler:
    """Handles items of the inbox, a batch at a time."""

    def __init__(
        self,
        dispatches: SmsDispatches,
        cost_center: CostCenter,
        readers: Readers,
        bus: Bus,
        giving_way: GivingWay,
    ) -> None:
        self._dispatches = dispatches
        self._cost_center = cost_center
        self._readers = readers
        self._bus = bus
        self._giving_way = giving_way

    async def handle(self, items: Sequence[InboxItem]) -> list[InboxOutcome]:
        """Record what was pushed; True for each item that is done. Raises DomainError when a service is away."""
        await self._giving_way.give_way()
        outcomes: list[InboxOutcome] = [True] * len(items)
        receipts: dict[int, Receipt] = {}
        uplinks: list[Uplink] = []
        malformed: list[tuple[bytes, MalformedCallbackError]] = []
        for position, item in enumerate(items):
            try:
                callback = _read(item.body, self._readers)
            except MalformedCallbackError as error:
                malformed.append((item.body, error))
                continue
            if isinstance(callback, Receipt):
                receipts[position] = callback
            else:
                uplinks.append(callback)
        if uplinks:
            await self._dispatches.record_uplinks([_uplink(uplink) for uplink in uplinks])
        outcomes_of_receipts = await self._record_receipts(list(receipts.values()))
        for position, outcome in zip(receipts, outcomes_of_receipts, strict=True):
            outcomes[position] = outcome
        # Last, because what raises above has the whole batch come again, and these would be kept again.
        for body, problem in malformed:
            await self._keep_malformed(body, problem)
        return outcomes

    async def _record_receipts(self, receipts: Sequence[Receipt]) -> list[InboxOutcome]:
        """Update the records, then tell the cost center. Both are idempotent, so a crash in between repeats both."""
        if not receipts:
            return []
        recorded = await self._dispatches.record_receipts([_receipt(receipt) for receipt in receipts])
        reports = [_report(receipt, one) for receipt, one in zip(receipts, recorded, strict=True) if one.settled]
        for refusal in await self._cost_center.report_receipts(reports):
            if refusal is not None and refusal.is_retryable:
                raise refusal
            if refusal is not None:
                log.warning("the cost center refuses a receipt", reason=refusal.reason, error=refusal.message)
        return [Requeue("NOT_PAID_YET") if one.retry else True for one in recorded]

    async def _keep_malformed(self, body: bytes, error: MalformedCallbackError) -> None:
        """Keep what cannot be read: the provider hands it over once."""
        log.error("callback cannot be read", field=error.field, problem=error.problem, queue=MALFORMED_QUEUE)
        await self._bus.publish(MALFORMED_QUEUE, [Message(body, {DEAD_REASON_HEADER: str(error)})])


class CallbackRequeue:
    """Gives dead letters that were put back to the inbox: what could not be read may be readable to a later version."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def handle(self, _queue: str, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Push the letters. Raises DomainError when the inbox cannot take them: they come again."""
        await self._inbox.push(*(delivery.body for delivery in deliveries))
        return [Done()] * len(deliveries)


class ReceiptPull:
    """Takes receipts and uplinks that could not be pushed, and puts them with those that could.

    The provider deletes what it hands over, so what cannot be kept at once stays here, and nothing more is pulled
    before it is kept.
    """

    def __init__(self, accounts: Sequence[Account], inbox: Inbox, bus: Bus) -> None:
        self._accounts = accounts
        self._inbox = inbox
        self._bus = bus
        self._bodies: list[bytes] = []
        self._malformed: list[Message] = []

    async def pull(self) -> None:
        """Pull from each account until it has no more. Raises DomainError or BusUnavailableError: not all is kept."""
        await self._keep()
        for account in self._accounts:
            try:
                await self._pull(account)
            except ProviderCallError as error:
                log.warning("pull failed", account=account.name, reason=error.reason, code=error.code)

    async def _pull(self, account: Account) -> None:
        for kind, pull in (("receipt", account.provider.pull_receipts), ("uplink", account.provider.pull_uplinks)):
            for _ in range(_PULLS_MAX):
                pulled: Pulled[Any] = await pull()
                self._bodies += [encode(item) for item in pulled.items]
                self._malformed += [
                    Message(_encode_row(kind, account, item.fields), {DEAD_REASON_HEADER: str(item.error)})
                    for item in pulled.malformed
                ]
                await self._keep()
                if not pulled.items and not pulled.malformed:
                    break

    async def _keep(self) -> None:
        if self._bodies:
            await self._inbox.push(*self._bodies)
            self._bodies.clear()
        if self._malformed:
            await self._bus.publish(MALFORMED_QUEUE, self._malformed)
            self._malformed.clear()


def encode(callback: Callback) -> bytes:
    """Write a pulled callback as an item of the inbox."""
    kind = "receipt" if isinstance(callback, Receipt) else "uplink"
    return json.dumps({"kind": kind, "value": dataclasses.asdict(callback)}).encode()


def _encode_row(kind: str, account: Account, row: Mapping[str, str]) -> bytes:
    """Write a row of a pull that could not be read as an item of the inbox: a later version may read it."""
    item = {
        "kind": kind,
        "account": account.name,
        "international": account.international,
        "row": dict(row),
    }
    return json.dumps(item).encode()


def _read(body: bytes, readers: Readers) -> Callback:
    """Read an item: a push as it came, a row as it was pulled, or a pulled callback. Raises MalformedCallbackError."""
    try:
        item = json.loads(body)
        kind, query, row, value = item["kind"], item.get("query"), item.get("row"), item.get("value")
        international = item.get("international", False)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MalformedCallbackError("item", "is not an item of the inbox") from None
    if value is not None:
        return _pulled(kind, value)
    callbacks = readers.international if international else readers.mainland
    if kind not in ("receipt", "uplink"):  # it may be a list, which no set takes
        raise MalformedCallbackError("kind", "is neither receipt nor uplink")
    if row is not None:
        fields = _texts(row)
        return callbacks.parse_pulled_receipt(fields) if kind == "receipt" else callbacks.parse_pulled_uplink(fields)
    parameters = dict(parse_qsl(str(query), keep_blank_values=True))
    return callbacks.parse_receipt(parameters) if kind == "receipt" else callbacks.parse_uplink(parameters)


def _texts(row: object) -> dict[str, str]:
    if not isinstance(row, dict) or not all(isinstance(text, str) for text in row.values()):
        raise MalformedCallbackError("row", "is not a row of a pull")
    return row


def _pulled(kind: str, value: dict[str, Any]) -> Callback:
    try:
        if kind == "receipt":
            return Receipt(**{**value, "verdict": Verdict(value["verdict"])})
        return Uplink(**value)
    except (TypeError, KeyError, ValueError):
        raise MalformedCallbackError("value", "is not a pulled callback") from None


def _receipt(receipt: Receipt) -> sms_pb2.SmsReceipt:
    return sms_pb2.SmsReceipt(
        dispatch_id=receipt.dispatch_id,
        phone=receipt.phone_e164,
        provider_message_id=receipt.provider_message_id,
        verdict=_VERDICTS[receipt.verdict],
        provider_code=receipt.provider_code,
        billed_segments=receipt.billed_segments,
    )


def _uplink(uplink: Uplink) -> sms_pb2.SmsUplink:
    return sms_pb2.SmsUplink(
        phone=uplink.phone_e164,
        content=uplink.content,
        destination=uplink.destination,
        sent_at=uplink.sent_at,
        part_group=uplink.part_group,
        part_number=uplink.part_number,
        part_count=uplink.part_count,
    )


def _report(receipt: Receipt, recorded: sms_pb2.RecordedReceipt) -> costcenter_pb2.SmsReceiptStatusCallBackRequest:
    return costcenter_pb2.SmsReceiptStatusCallBackRequest(
        brand_id=recorded.brand_id,
        request_id=f"receipt/{recorded.message_id}",
        payment_id=recorded.payment_id,
        message_id=recorded.message_id,
        status=costcenter_pb2.SMS_RECEIPT_STATUS_DELIVERED
        if recorded.delivered
        else costcenter_pb2.SMS_RECEIPT_STATUS_UNDELIVERED,
        charged_num=recorded.segments,
        billed_num=receipt.billed_segments,
    )
