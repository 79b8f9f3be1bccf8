"""What it takes to lay out a call: everybody's calls wait while one is."""

from __future__ import annotations

from collections.abc import Sequence

from messagecenter_rpc.acceptance import Designated, PreparedCall, SendCall, Standing, prepare
from messagecenter_rpc.broadcast import Configs
from messagecenter_rpc.devices import SHOP_MAX, Device
from messagecenter_rpc.domain import Channel, Event, MsgType
from tests.messagecenter_rpc.harness import BRAND, SHOP

DESIGNATED_MAX = 500


class Place(str):
    """A location that counts how often any is compared with another."""

    __slots__ = ()
    compared = 0

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Place.compared += 1
        return str.__eq__(self, other)


def pads(*locations: str) -> list[Device]:
    return [
        Device(BRAND, f"pad-{number}", number, SHOP, Channel.ROOM_PAD, location, "", f"dev-{number}", 1, 1)
        for number, location in enumerate(locations)
    ]


def lay_out(devices: Sequence[Device], *designated: Designated) -> PreparedCall:
    request = SendCall(
        brand_id=BRAND,
        request_id="call",
        body_hash="hash",
        shop_id=SHOP,
        event=Event.ROOM_SERVICE,
        channels=(Channel.ROOM_PAD,),
        params={},
        msg_type=MsgType.REFRESH,
        msg_template_id=0,
        designated=designated,
    )
    return prepare(request, Standing(1, Configs([]), {(BRAND, SHOP): devices}, {}))


def test_a_place_that_is_named_many_times_is_looked_for_once() -> None:
    devices = pads(*[Place("hall")] * SHOP_MAX)
    Place.compared = 0
    prepared = lay_out(devices, *[Designated(Channel.ROOM_PAD, "", "hall")] * DESIGNATED_MAX)
    assert prepared.record_count == SHOP_MAX
    assert Place.compared < 2 * (SHOP_MAX + DESIGNATED_MAX)


def test_many_places_are_found_without_looking_at_every_device_for_each() -> None:
    names = [f"room {number}" for number in range(DESIGNATED_MAX)]
    devices = pads(*[Place(name) for name in names * (SHOP_MAX // DESIGNATED_MAX)])
    Place.compared = 0
    prepared = lay_out(devices, *[Designated(Channel.ROOM_PAD, "", name) for name in names])
    assert prepared.record_count == SHOP_MAX
    assert Place.compared < 3 * (SHOP_MAX + DESIGNATED_MAX)
