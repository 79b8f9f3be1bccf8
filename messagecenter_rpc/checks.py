"""What is true of claimed records at this moment: the consumer's checks before sending stand on these facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from sqlalchemy.ext.asyncio import AsyncConnection

from messagecenter_rpc import storage
from messagecenter_rpc.broadcast import BroadcastConfig, Configs, read_configs
from messagecenter_rpc.devices import Device, read_devices_by_account
from messagecenter_rpc.domain import RULES, Call, Channel, Record
from messagecenter_rpc.technicians import Technician, read_technicians
from messagecenter_rpc.templates import Template, read_templates


@dataclass(frozen=True, slots=True)
class Recipient:
    """One claimed record, and what is true of its account now."""

    record: Record
    nick: str
    device_gone: bool
    device_moved: bool
    technician_clocked_off: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """One content for the accounts of one channel, and what is true of its call now."""

    call: Call
    channel: Channel
    repeat_number: int
    template_content: str | None
    msg_random: int
    due_at_ms: int
    expire_at_ms: int
    switched_off: bool
    quiet: bool
    recipients: Sequence[Recipient]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read for many records at once, in a handful of statements."""

    now_ms: int
    calls: Mapping[int, Call]
    configs: Configs
    templates: Mapping[int, Template]
    devices: Mapping[str, Sequence[Device]]
    technicians: Mapping[tuple[int, str], Technician]

    @classmethod
    async def read(cls, connection: AsyncConnection, records: Sequence[Record], now_ms: int) -> Self:
        """Read what the checks of these records need."""
        calls = await storage.read_calls(connection, {one.call_id for one in records})
        configs = await read_configs(connection, {(one.brand_id, one.shop_id, one.event) for one in calls.values()})
        templates = await read_templates(connection, {one.template_id for one in records if one.template_id})
        devices = await read_devices_by_account(connection, {one.account for one in records})
        owners = {(one.brand_id, one.technician_id) for group in devices.values() for one in group if one.technician_id}
        return cls(now_ms, calls, configs, templates, devices, await read_technicians(connection, owners))

    def deliveries(self, records: Iterable[Record]) -> list[Delivery]:
        """Group records by their content, in the order of their times."""
        groups: dict[tuple[int, int, Channel, int], list[Record]] = {}
        for one in sorted(records, key=lambda one: (one.due_at_ms, one.record_id)):
            groups.setdefault((one.due_at_ms, one.call_id, one.channel, one.repeat_number), []).append(one)
        return [self._delivery(group) for group in groups.values()]

    def _delivery(self, group: Sequence[Record]) -> Delivery:
        first = group[0]
        call = self.calls[first.call_id]
        rule = RULES[call.msg_type]
        config = self.configs.effective((call.brand_id, call.shop_id, call.event), first.channel)
        template = self.templates.get(first.template_id)
        return Delivery(
            call=call,
            channel=first.channel,
            repeat_number=first.repeat_number,
            template_content=template.content if template else None,
            msg_random=first.msg_random,
            due_at_ms=first.due_at_ms,
            expire_at_ms=first.due_at_ms + rule.useful_seconds * 1000,
            switched_off=rule.is_configured if config is None else not config.enabled,
            quiet=rule.minds_quiet_hours and self._is_quiet(config, first.due_at_ms),
            recipients=[self._recipient(call, one) for one in group],
        )

    def _is_quiet(self, config: BroadcastConfig | None, due_at_ms: int) -> bool:
        # A record may be claimed a moment before its time, which may be the first after the quiet hours.
        return bool(config and config.quiet_hours and config.quiet_hours.contains(max(self.now_ms, due_at_ms)))

    def _recipient(self, call: Call, one: Record) -> Recipient:
        devices = [
            device
            for device in self.devices.get(one.account, ())
            if (device.brand_id, device.shop_id, device.channel) == (call.brand_id, call.shop_id, one.channel)
        ]
        return Recipient(
            record=one,
            nick=devices[0].nick if devices else "",
            device_gone=not devices,
            device_moved=bool(one.location and devices) and all(d.location != one.location for d in devices),
            technician_clocked_off=any(self._is_clocked_off(device) for device in devices),
        )

    def _is_clocked_off(self, device: Device) -> bool:
        """Whether a device is a technician's who is not at work; one who was never clocked on is not."""
        if device.channel is not Channel.TECHNICIAN:
            return False
        technician = self.technicians.get((device.brand_id, device.technician_id))
        return technician is None or not technician.clocked_on
