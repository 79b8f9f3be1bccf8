"""What a message costs when one brand sends, or ten thousand; and when ten million messages are recorded already.

Single SMS go in by BatchSendSms, a hundred a call, the brands taking turns, and are followed until their delivered
receipts are recorded. The calls are the same whatever the number of brands, as the gateway's are when it gathers what
many apps send at one moment; so a difference is what accounts, queues and consumers of many brands cost.
"""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench import full_records
from bench.engine_choice import DatabaseEngine
from bench.figures import Figure, at_most, ratios
from bench.local import Measured, measured_mesh
from bench.new_records import NewRecords
from bench.processes import cpu_seconds, cpu_us_per_message, pids_of
from bench.rate import rate
from brandmesh.sms.v1 import sms_pb2
from brandmesh.sms.v1.sms_pb2_grpc import SmsServiceStub
from mesh.batch import unpack
from mesh.channel import Peer
from mesh.database import Database
from mesh.errors import DomainError
from meshctl import demo

ROW = "cost of a message"
BRANDS = (1, 100, 10_000)
MESSAGES = 20_000
BATCH_SIZE = 100
CALLERS = 8
MORE_AT_MOST = at_most(1.2)
"""A message may cost a fifth more than with one brand, or with an empty table."""

_FIRST_BRAND_ID = 100_001
_CREDIT = 1_000_000
_WARM_UP_MESSAGES = 1000
_SERVICES = ("costcenter", "sms")
_CALL_SECONDS_MAX = 60.0
_FULL_BRANDS = 100
_RATE, _COST = "SMS/s", "us CPU/SMS"


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement: messages settled a second, and microseconds of processor time a message."""

    settled: float
    cost_us: float


class Sender:
    """Sends for so many brands of a mesh, and sees what that costs."""

    def __init__(self, measured: Measured, database: DatabaseEngine, peer: Peer, records: NewRecords) -> None:
        self._processes = pids_of(measured, database)
        self._peer = peer
        self._stub = SmsServiceStub(peer.channel)
        self._records = records

    async def run(self, brands: int, messages: int = MESSAGES) -> Run:
        """Send the messages, the brands taking turns, and wait until all are settled."""
        turns = itertools.cycle(range(_FIRST_BRAND_ID, _FIRST_BRAND_ID + brands))
        first_id = await self._records.last_id() + 1
        before, began_at = cpu_seconds(self._processes), time.monotonic()
        await rate(lambda: self._send(turns), callers=CALLERS, times=messages // BATCH_SIZE)
        await self._records.until_delivered(first_id, messages)
        seconds = time.monotonic() - began_at
        costs_us = cpu_us_per_message(before, cpu_seconds(self._processes), messages)
        return Run(messages / seconds, sum(costs_us.values()))

    async def _send(self, turns: Iterator[int]) -> None:
        """Send a batch. Raises DomainError for the first message that is refused."""
        requests = [_request(brand_id) for brand_id in itertools.islice(turns, BATCH_SIZE)]
        answer = await self._peer.call(self._stub.BatchSendSms, sms_pb2.BatchSendSmsRequest(requests=requests))
        for one in unpack(answer.results):
            if isinstance(one, DomainError):
                raise one


async def measure_brands(database: DatabaseEngine, runs: int) -> list[Figure]:
    """Measure with each number of brands `runs` times, on one mesh where all of them are open."""
    async with measured_mesh(database) as measured, _sender(measured, database, max(BRANDS)) as sender:
        results = {brands: [await sender.run(brands) for _ in range(runs)] for brands in BRANDS}
    figures = [figure for brands in BRANDS for figure in _figures(_brands(brands), results[brands])]
    costs = {brands: _cost(_brands(brands), results[brands]) for brands in BRANDS}
    few = BRANDS[0]
    compared = [ratios(ROW, f"{_brands(many)} to {few}", costs[many], costs[few], MORE_AT_MOST) for many in BRANDS[1:]]
    return [*figures, *compared]


async def measure_full_table(database: DatabaseEngine, runs: int) -> list[Figure]:
    """Measure `runs` times with a record table that is all but empty, fill it, and measure again."""
    async with measured_mesh(database) as measured, _sender(measured, database, _FULL_BRANDS) as sender:
        empty = [await sender.run(_FULL_BRANDS) for _ in range(runs)]
        await full_records.fill(measured.mesh.database_url("sms"), _FIRST_BRAND_ID, _FULL_BRANDS)
        await sender.run(_FULL_BRANDS, _WARM_UP_MESSAGES)
        full = [await sender.run(_FULL_BRANDS) for _ in range(runs)]
    name = f"{full_records.RECORDS:,} records"
    cost_ratio = ratios(ROW, f"{name} to none", _cost(name, full), _cost("no records", empty), MORE_AT_MOST)
    return [*_figures("no records", empty), *_figures(name, full), cost_ratio]


@asynccontextmanager
async def _sender(measured: Measured, database: DatabaseEngine, brands: int) -> AsyncIterator[Sender]:
    """Open the brands, and warm the mesh up."""
    mesh = measured.mesh
    addresses = mesh.grpc_addresses
    cost_peer, sms_peer = (Peer(name, addresses[name], timeout_seconds=_CALL_SECONDS_MAX) for name in _SERVICES)
    rows = Database(mesh.database_url("sms"))
    brand_ids = iter(range(_FIRST_BRAND_ID, _FIRST_BRAND_ID + brands))

    async def open_next() -> None:
        await demo.open_brand(cost_peer, sms_peer, next(brand_ids), credit=_CREDIT)

    await rate(open_next, callers=32, times=brands)
    sender = Sender(measured, database, sms_peer, NewRecords(rows))
    await sender.run(1, _WARM_UP_MESSAGES)
    yield sender
    await rows.close()
    await sms_peer.close()
    await cost_peer.close()


def _brands(count: int) -> str:
    return f"{count:,} brand{'s' if count > 1 else ''}"


def _request(brand_id: int) -> sms_pb2.SendSmsRequest:
    """Make up a message to a phone that the full table may know."""
    return sms_pb2.SendSmsRequest(
        brand_id=brand_id,
        request_id=uuid.uuid4().hex,
        type=sms_pb2.SMS_TYPE_NOTIFICATION,
        phones=[str(full_records.FIRST_PHONE + random.randrange(full_records.RECORDS))],  # noqa: S311  # no secret
        content="Your table is ready",
        signature="brandmesh",
    )


def _figures(name: str, runs: Sequence[Run]) -> list[Figure]:
    return [Figure(ROW, f"{name}, settled", _RATE, tuple(one.settled for one in runs)), _cost(name, runs)]


def _cost(name: str, runs: Sequence[Run]) -> Figure:
    return Figure(ROW, f"{name}, all processes", _COST, tuple(one.cost_us for one in runs))
