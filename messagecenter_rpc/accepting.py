"""From a request to stored and queued records, many requests at a time.

    look up the request id -> read what stands -> check and lay out -> store call and records -> publish

Nothing is stored for a request that is not in order.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.coalesce import Coalescer
from mesh.database import Database
from mesh.errors import DomainError
from mesh.ids import IdAllocator
from messagecenter_rpc import storage
from messagecenter_rpc.acceptance import PreparedCall, SendCall, Standing, prepare
from messagecenter_rpc.broadcast import read_configs
from messagecenter_rpc.devices import read_shop_devices
from messagecenter_rpc.domain import LOST_AFTER_MS, Call, Record, RecordStatus
from messagecenter_rpc.publisher import Publisher, publications
from messagecenter_rpc.templates import key_reused, read_templates

LARGE = 200
"""A call of more records is stored by itself, so that small ones do not wait for it."""


class _LargeError(Exception):
    """The call is large and was left alone."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """A call that is checked and knows its ids."""

    call: Call
    records: Sequence[Record]


class Accepting:
    """Accepts calls."""

    def __init__(self, database: Database, ids: IdAllocator, publisher: Publisher) -> None:
        self._database = database
        self._ids = ids
        self._publisher = publisher
        self._small: Coalescer[SendCall, Call] = Coalescer(
            self._accept_small,
            name="im calls",
            batch_max=100,
            pending_max=20_000,
            in_flight_max=2,
            key=_brand,
            poison=(DBAPIError,),
        )
        self._large: Coalescer[SendCall, Call] = Coalescer(
            self._accept, name="large im calls", batch_max=1, pending_max=32, key=_brand
        )

    async def aclose(self) -> None:
        """Take nothing more, and finish what was taken."""
        await self._small.close()
        await self._large.close()

    async def accept_all(self, requests: Sequence[SendCall]) -> list[Call | BaseException]:
        """Accept many calls; answer each, in order. A repeat is answered as the first was."""
        outcomes = await self._small.submit_all(requests)
        for position, outcome in enumerate(outcomes):
            if isinstance(outcome, _LargeError):
                outcomes[position] = await self._accept_large(requests[position])
        return outcomes

    async def _accept_large(self, request: SendCall) -> Call | BaseException:
        try:
            (outcome,) = await self._large.submit_all([request])
        except DomainError as refusal:
            return refusal
        return outcome

    async def _accept_small(self, requests: Sequence[SendCall]) -> list[Call | BaseException]:
        return await self._accept(requests, records_max=LARGE)

    async def _accept(self, requests: Sequence[SendCall], records_max: int | None = None) -> list[Call | BaseException]:
        """Accept calls together; those of more than `records_max` records are left alone."""
        first_of: dict[tuple[int, str], int] = {}
        for position, request in enumerate(requests):
            first_of.setdefault((request.brand_id, request.request_id), position)
        firsts = {position: requests[position] for position in first_of.values()}
        outcomes, prepared = await self._prepare(firsts)
        for position, one in list(prepared.items()):
            if records_max is not None and one.record_count > records_max:
                outcomes[position] = _LargeError()
                del prepared[position]
        await self._store_all(prepared, outcomes)
        for position, request in enumerate(requests):
            if position not in firsts:
                (outcomes[position],) = await self._accept([request], records_max)
        return [outcomes[position] for position in range(len(requests))]

    async def _prepare(
        self, requests: Mapping[int, SendCall]
    ) -> tuple[dict[int, Call | BaseException], dict[int, PreparedCall]]:
        """Answer repeats and refusals, and lay out the rest; both by position."""
        keys = [(request.brand_id, request.request_id) for request in requests.values()]
        async with self._database.read() as connection:
            known = await storage.read_calls_by_request(connection, keys)
            new = [request for request in requests.values() if (request.brand_id, request.request_id) not in known]
            standing = await self._read_standing(connection, new)
        outcomes: dict[int, Call | BaseException] = {}
        prepared: dict[int, PreparedCall] = {}
        for position, request in requests.items():
            call = known.get((request.brand_id, request.request_id))
            try:
                if call is not None:
                    outcomes[position] = _repeated(call, request)
                else:
                    prepared[position] = prepare(request, standing)
            except DomainError as refusal:
                outcomes[position] = refusal
        return outcomes, prepared

    async def _read_standing(self, connection: AsyncConnection, requests: Sequence[SendCall]) -> Standing:
        now_ms = await self._database.now_ms(connection)
        configs = await read_configs(connection, [request.config_key for request in requests])
        devices = await read_shop_devices(connection, {(one.brand_id, one.shop_id) for one in requests})
        own_templates = {request.msg_template_id for request in requests if request.msg_template_id}
        templates = await read_templates(connection, configs.template_ids | own_templates)
        return Standing(now_ms, configs, devices, templates)

    async def _store_all(self, prepared: Mapping[int, PreparedCall], outcomes: dict[int, Call | BaseException]) -> None:
        """Store calls in transactions of a bounded size, and publish each when it is committed."""
        for positions in storage.portions(prepared, lambda position: prepared[position].record_count):
            portion = [prepared[position] for position in positions]
            try:
                outcomes.update(zip(positions, await self._store(portion), strict=True))
            except IntegrityError:
                # Another process, or the batch beside this one, took a request id meanwhile.
                if len(portion) > 1:
                    raise
                outcomes[positions[0]] = await self._after_conflict(portion[0].request)

    async def _store(self, prepared: Sequence[PreparedCall]) -> list[Call]:
        call_id = await self._ids.allocate(sum(1 + one.record_count for one in prepared))
        plans: list[_Plan] = []
        for one in prepared:
            plans.append(_lay_out(one, call_id))
            call_id += 1 + one.record_count
        records = [record for plan in plans for record in plan.records]
        async with self._database.write() as connection:
            await storage.insert_calls(connection, [plan.call for plan in plans])
            await storage.insert_records(connection, records)
            now_ms = await self._database.now_ms(connection)
        await self._publisher.publish(publications(records), now_ms)
        return [plan.call for plan in plans]

    async def _after_conflict(self, request: SendCall) -> Call | BaseException:
        key = (request.brand_id, request.request_id)
        async with self._database.read() as connection:
            known = await storage.read_calls_by_request(connection, [key])
        if key not in known:
            raise AssertionError(f"request id {request.request_id} is taken, and by no call")
        try:
            return _repeated(known[key], request)
        except DomainError as refusal:
            return refusal


def _lay_out(prepared: PreparedCall, call_id: int) -> _Plan:
    """Make the call, and one record a content and account with the ids that follow.

    Queued is written with the row itself (docs/adr/0004): when the bus turns out to be away it is taken back, and when
    a crash comes in between the sweep finds that the queue does not have it.
    """
    request = prepared.request
    records: list[Record] = []
    for content in prepared.contents:
        # One for all accounts: they are sent to together. It may repeat in another second, which Tencent tells apart.
        msg_random = secrets.randbelow((1 << 32) - 1) + 1
        for recipient in content.recipients:
            records.append(
                Record(
                    record_id=call_id + 1 + len(records),
                    call_id=call_id,
                    brand_id=request.brand_id,
                    channel=content.channel,
                    repeat_number=content.repeat_number,
                    account=recipient.account,
                    location=recipient.location,
                    template_id=content.template_id,
                    msg_random=msg_random,
                    due_at_ms=content.due_at_ms,
                    next_at_ms=content.due_at_ms,
                    look_at_ms=content.due_at_ms + LOST_AFTER_MS,
                    status=RecordStatus.QUEUED,
                )
            )
    call = Call(
        call_id=call_id,
        brand_id=request.brand_id,
        request_id=request.request_id,
        body_hash=request.body_hash,
        shop_id=request.shop_id,
        event=request.event,
        channels=request.channels,
        params=request.params,
        msg_type=request.msg_type,
        msg_template_id=request.msg_template_id,
        skipped=prepared.skipped,
        record_count=len(records),
        created_at_ms=prepared.accepted_at_ms,
        cancelled_at_ms=0,
    )
    return _Plan(call, records)


def _repeated(known: Call, request: SendCall) -> Call:
    """Answer a repeat as the first request. Raises KEY_REUSED when its body is another."""
    if known.body_hash != request.body_hash:
        raise key_reused(request.request_id)
    return known


def _brand(request: SendCall) -> int:
    return request.brand_id
