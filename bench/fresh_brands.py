"""Brands that have sent nothing yet: what a run sees of a brand is then its own."""

from __future__ import annotations

import itertools

from bench.local import Measured
from mesh.channel import Peer
from meshctl import demo
from meshctl.app import App

_numbers = itertools.count(5001)


async def fresh_brands(measured: Measured, count: int, *, credit: int) -> list[App]:
    """Open brands with so much credit each; answer their apps, which share one key."""
    mesh = measured.mesh
    brand_ids = list(itertools.islice(_numbers, count))
    cost_peer, sms_peer = (Peer(name, mesh.grpc_addresses[name]) for name in ("costcenter", "sms"))
    for brand_id in brand_ids:
        await demo.open_brand(cost_peer, sms_peer, brand_id, credit=credit)
    await cost_peer.close()
    await sms_peer.close()
    api_key = await demo.create_key(mesh.database_url("gateway"), ",".join(map(str, brand_ids)))
    return [App(measured.session, mesh.gateway_url, brand_id, api_key) for brand_id in brand_ids]
