"""Devices and their accounts: one device is one account, and the cash desks of a shop share one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import grpc
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import pages
from mesh.control_characters import is_plain_name
from mesh.database import Database
from mesh.errors import DomainError, FieldViolation, invalid_request
from mesh.ids import IdAllocator
from mesh.statements import read_in, read_pairs, select_in
from messagecenter_rpc.domain import Channel
from messagecenter_rpc.tables import device

STATED_MAX = 1000
"""Devices whose states one answer tells."""

SHOP_MAX = STATED_MAX
"""Devices of one shop: every call to it reads them all."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Device:
    """One device. Its number is its own for good; `technician_id` is empty but for a technician's device."""

    brand_id: int
    device_id: str
    device_number: int
    shop_id: int
    channel: Channel
    location: str
    technician_id: str
    account: str
    created_at_ms: int
    updated_at_ms: int

    @property
    def nick(self) -> str:
        """The name that people see at Tencent."""
        place = self.location or self.device_id
        match self.channel:
            case Channel.CASH_DESK:
                return f"cash desk of shop {self.shop_id}"
            case Channel.TECHNICIAN:
                return f"technician {self.technician_id}"
            case _:
                return f"{self.channel.name.lower().replace('_', ' ')} {place}"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a device stands, and whose it is."""

    shop_id: int
    channel: Channel
    location: str
    technician_id: str


class Devices:
    """What operators do with devices."""

    def __init__(self, database: Database, ids: IdAllocator) -> None:
        self._database = database
        self._ids = ids

    async def put(self, brand_id: int, device_id: str, placement: Placement) -> Device:
        """Make a device known, or say where it stands now. Raises INVALID_REQUEST, IM_SHOP_FULL."""
        _check(placement)
        async with self._database.read() as connection:
            known = await _read(connection, brand_id, device_id)
        number = known.device_number if known else await self._ids.allocate(1)
        try:
            return await self._put(brand_id, device_id, number, placement)
        except IntegrityError:
            # It was made known at the same time, so it is there now.
            return await self._put(brand_id, device_id, number, placement)

    async def _put(self, brand_id: int, device_id: str, number: int, placement: Placement) -> Device:
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            stored = await _read(connection, brand_id, device_id, for_update=True)
            placed = _placed(stored or _unplaced(brand_id, device_id, number, now_ms), placement)
            if placed == stored:
                return stored
            if stored is None or stored.shop_id != placed.shop_id:
                await _check_room(connection, brand_id, placed.shop_id)
            placed = replace(placed, updated_at_ms=now_ms)
            row = {name: getattr(placed, name) for name in placed.__slots__}
            change = sa.update(device).where(*_is(brand_id, device_id)) if stored else sa.insert(device)
            await connection.execute(change.values(row))
        return placed

    async def get(self, brand_id: int, device_id: str) -> Device:
        """Read a device. Raises IM_DEVICE_NOT_FOUND."""
        async with self._database.read() as connection:
            found = await _read(connection, brand_id, device_id)
        if found is None:
            raise DomainError(grpc.StatusCode.NOT_FOUND, "IM_DEVICE_NOT_FOUND", f"no device {device_id}")
        return found

    async def list(self, brand_id: int, shop_id: int, page: pages.PageRequest) -> tuple[Sequence[Device], str]:
        """Read a page of devices in the order in which they were made known, and the token of the next."""
        (after,) = page.after(1) or (0,)
        statement = sa.select(device).where(device.c.brand_id == brand_id, device.c.device_number > after)
        if shop_id:
            statement = statement.where(device.c.shop_id == shop_id)
        statement = statement.order_by(device.c.device_number).limit(page.size + 1)
        async with self._database.read() as connection:
            found = [_device(row) for row in await connection.execute(statement)]
        return pages.cut(found, page.size, lambda one: (one.device_number,))

    async def delete(self, brand_id: int, device_id: str) -> None:
        """Remove a device, if it is there."""
        async with self._database.write() as connection:
            await connection.execute(sa.delete(device).where(*_is(brand_id, device_id)))


_OF_ACCOUNTS = select_in(device, "account")


async def read_shop_devices(
    connection: AsyncConnection, shops: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], list[Device]]:
    """Read the devices of shops, given as (brand_id, shop_id), each in the order in which they were made known."""
    found: dict[tuple[int, int], list[Device]] = {}
    rows = await read_pairs(connection, device, ("brand_id", "shop_id"), shops)
    for row in sorted(rows, key=attrgetter("device_number")):
        found.setdefault((row.brand_id, row.shop_id), []).append(_device(row))
    return found


async def read_devices_by_account(connection: AsyncConnection, accounts: Iterable[str]) -> dict[str, list[Device]]:
    """Read the devices that accounts stand for."""
    found: dict[str, list[Device]] = {}
    for row in sorted(await read_in(connection, _OF_ACCOUNTS, accounts), key=attrgetter("device_number")):
        found.setdefault(row.account, []).append(_device(row))
    return found


def _check(placement: Placement) -> None:
    violations = []
    if not is_plain_name(placement.location):
        violations.append(FieldViolation("location", "has a control character"))
    if placement.channel is Channel.TECHNICIAN and not placement.technician_id:
        violations.append(FieldViolation("technician_id", "is needed for a technician's device"))
    if placement.channel is not Channel.TECHNICIAN and placement.technician_id:
        violations.append(FieldViolation("technician_id", "is for technicians' devices alone"))
    if violations:
        raise invalid_request(*violations)


async def _check_room(connection: AsyncConnection, brand_id: int, shop_id: int) -> None:
    """Refuse one more device in a shop that is full. A few that come at the same moment may all be let in."""
    in_shop = sa.select(device.c.device_number).where(device.c.brand_id == brand_id, device.c.shop_id == shop_id)
    last = in_shop.order_by(device.c.device_number).offset(SHOP_MAX - 1).limit(1)
    if (await connection.execute(last)).one_or_none() is not None:
        raise DomainError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "IM_SHOP_FULL",
            f"shop {shop_id} has {SHOP_MAX} devices, which is the most; delete one that is no longer used",
            metadata={"devices_max": str(SHOP_MAX)},
        )


def _unplaced(brand_id: int, device_id: str, number: int, now_ms: int) -> Device:
    return Device(brand_id, device_id, number, 0, Channel.KITCHEN, "", "", "", now_ms, now_ms)


def _placed(one: Device, placement: Placement) -> Device:
    """Move a device. What account it has follows from its number, or from its shop if it is a cash desk."""
    if placement.channel is Channel.CASH_DESK:
        account = f"desk-{_base36(one.brand_id)}-{_base36(placement.shop_id)}"
    else:
        account = f"dev-{_base36(one.device_number)}"
    return replace(
        one,
        shop_id=placement.shop_id,
        channel=placement.channel,
        location=placement.location,
        technician_id=placement.technician_id,
        account=account,
    )


def _base36(number: int) -> str:
    """Write a number so that two of 53 bits fit in the 32 bytes that Tencent allows an account."""
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"


async def _read(
    connection: AsyncConnection, brand_id: int, device_id: str, *, for_update: bool = False
) -> Device | None:
    statement = sa.select(device).where(*_is(brand_id, device_id))
    row = (await connection.execute(statement.with_for_update() if for_update else statement)).one_or_none()
    return _device(row) if row else None


def _is(brand_id: int, device_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return device.c.brand_id == brand_id, device.c.device_id == device_id


def _device(row: Any) -> Device:
    return Device(**{**row._mapping, "channel": Channel(row.channel)})  # noqa: SLF001  # SQLAlchemy's public name
