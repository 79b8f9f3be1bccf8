"""The broadcast configuration: whether, how often and when an event is sent to a channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import pages
from mesh.database import Database
from mesh.errors import FieldViolation, invalid_request
from mesh.statements import read_pairs
from messagecenter_rpc.domain import Channel, Event
from messagecenter_rpc.quiet_hours import QuietHours, is_time_zone
from messagecenter_rpc.tables import broadcast_config
from messagecenter_rpc.templates import lock_template

BRAND_SHOP = 0
"""Shop of the configuration that holds for all shops of a brand that have no own."""

SPAN_SECONDS_MAX = 72 * 3600
"""Time from a call to the last of its repeats at most."""


@dataclass(frozen=True, slots=True)
class BroadcastConfig:
    """One configuration. A `template_id` of 0 is none, a `repeat_count` of 0 is once."""

    brand_id: int
    shop_id: int
    event: Event
    channel: Channel
    enabled: bool
    template_id: int
    repeat_count: int
    interval_seconds: int
    first_delay_seconds: int
    quiet_hours: QuietHours | None

    @property
    def delays_ms(self) -> list[int]:
        """How long after the call each of the repeats is sent."""
        first_ms, interval_ms = self.first_delay_seconds * 1000, self.interval_seconds * 1000
        return [first_ms + number * interval_ms for number in range(self.repeat_count or 1)]


ConfigKey = tuple[int, int, Event]
"""Brand, shop and event: what a call asks for."""


class Configs:
    """What was read of the configurations."""

    def __init__(self, configs: Iterable[BroadcastConfig]) -> None:
        self._configs = {(one.brand_id, one.shop_id, one.event, one.channel): one for one in configs}

    def effective(self, key: ConfigKey, channel: Channel) -> BroadcastConfig | None:
        """Answer the shop's configuration, else its brand's."""
        brand_id, shop_id, event = key
        own = self._configs.get((brand_id, shop_id, event, channel))
        return own or self._configs.get((brand_id, BRAND_SHOP, event, channel))

    @property
    def template_ids(self) -> set[int]:
        return {one.template_id for one in self._configs.values() if one.template_id}


async def read_configs(connection: AsyncConnection, keys: Iterable[ConfigKey]) -> Configs:
    """Read what the calls of these brands, shops and events follow."""
    keys = list(keys)
    shops = {(brand_id, shop) for brand_id, shop_id, _ in keys for shop in (shop_id, BRAND_SHOP)}
    events = {event for _, _, event in keys}
    rows = await read_pairs(connection, broadcast_config, ("brand_id", "shop_id"), shops)
    return Configs(_config(row) for row in rows if row.event in events)


class Broadcasts:
    """What operators set."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, config: BroadcastConfig) -> None:
        """Set a configuration. Raises INVALID_REQUEST with each field that is wrong."""
        violations = _violations(config)
        async with self._database.write() as connection:
            # Locked, so that nobody removes the template before the configuration that names it is there.
            if config.template_id and not await lock_template(connection, config.brand_id, config.template_id):
                violations.append(FieldViolation("config.template_id", "is not a template of this brand"))
            if violations:
                raise invalid_request(*violations)
            row = _row(config)
            await self._database.insert_ignore(connection, broadcast_config, [row])
            await connection.execute(sa.update(broadcast_config).where(*_is(config)).values(row))

    async def delete(self, brand_id: int, shop_id: int, event: Event, channel: Channel) -> None:
        """Remove a configuration, if it is there."""
        statement = sa.delete(broadcast_config).where(
            broadcast_config.c.brand_id == brand_id,
            broadcast_config.c.shop_id == shop_id,
            broadcast_config.c.event == event,
            broadcast_config.c.channel == channel,
        )
        async with self._database.write() as connection:
            await connection.execute(statement)

    async def list(self, brand_id: int, shop_id: int, page: pages.PageRequest) -> tuple[Sequence[BroadcastConfig], str]:
        """Read a page of configurations by shop, event and channel, and the token of the next."""
        columns = broadcast_config.c
        statement = sa.select(broadcast_config).where(columns.brand_id == brand_id)
        if shop_id:
            statement = statement.where(columns.shop_id == shop_id)
        after = page.after(3)
        if after is not None:
            shop, event, channel = after
            is_later_event = sa.or_(columns.event > event, (columns.event == event) & (columns.channel > channel))
            is_later = sa.or_(columns.shop_id > shop, (columns.shop_id == shop) & is_later_event)
            statement = statement.where(columns.shop_id >= shop, is_later)
        statement = statement.order_by(columns.shop_id, columns.event, columns.channel).limit(page.size + 1)
        async with self._database.read() as connection:
            configs = [_config(row) for row in await connection.execute(statement)]
        return pages.cut(configs, page.size, lambda one: (one.shop_id, one.event, one.channel))


def _violations(config: BroadcastConfig) -> list[FieldViolation]:
    violations = []
    quiet = config.quiet_hours
    if quiet is not None and quiet.start == quiet.end:
        violations.append(FieldViolation("config.quiet_hours.end", "is the same as the start: leave quiet_hours out"))
    if quiet is not None and quiet.time_zone and not is_time_zone(quiet.time_zone):
        violations.append(FieldViolation("config.quiet_hours.time_zone", "is not a time zone that IANA names"))
    if config.repeat_count > 1 and not config.interval_seconds:
        violations.append(FieldViolation("config.interval_seconds", "is needed when it is sent more than once"))
    if config.delays_ms[-1] > SPAN_SECONDS_MAX * 1000:
        problem = f"puts the last one more than {SPAN_SECONDS_MAX // 3600} hours after the call"
        violations.append(FieldViolation("config.repeat_count", problem))
    return violations


def _is(config: BroadcastConfig) -> tuple[sa.ColumnElement[bool], ...]:
    columns = broadcast_config.c
    return (
        columns.brand_id == config.brand_id,
        columns.shop_id == config.shop_id,
        columns.event == config.event,
        columns.channel == config.channel,
    )


def _row(config: BroadcastConfig) -> Mapping[str, Any]:
    quiet = config.quiet_hours or QuietHours("", "")
    row = {name: getattr(config, name) for name in config.__slots__ if name != "quiet_hours"}
    return row | {"quiet_start": quiet.start, "quiet_end": quiet.end, "quiet_time_zone": quiet.time_zone}


def _config(row: Any) -> BroadcastConfig:
    quiet = QuietHours(row.quiet_start, row.quiet_end, row.quiet_time_zone) if row.quiet_start else None
    return BroadcastConfig(
        row.brand_id, row.shop_id, Event(row.event), Channel(row.channel), row.enabled, row.template_id,
        row.repeat_count, row.interval_seconds, row.first_delay_seconds, quiet,
    )  # fmt: skip
