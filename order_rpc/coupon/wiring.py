"""What the coupon service is made of."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

from brandmesh.coupon.v1 import coupon_pb2
from brandmesh.coupon.v1.coupon_pb2_grpc import add_CouponServiceServicer_to_server
from mesh.ids import IdAllocator
from mesh.messages import Inbox, Mailbox
from order_rpc.coupon import tables
from order_rpc.coupon.service import Coupons
from order_rpc.coupon.servicer import CouponServicer
from order_rpc.coupon.using import CouponUsing
from order_rpc.host import Host


async def add(host: Host) -> None:
    """Serve coupons in this process."""
    await host.migrate(Path(__file__).parent)
    using = await host.stack.enter_async_context(aclosing(CouponUsing(host.database)))
    coupons = Coupons(host.database, IdAllocator(host.database, tables.id_block))
    effects = {("order", "cancelled"): using.release_all}
    host.mailboxes.add("coupon", Mailbox(inbox=Inbox(host.database, "coupon", tables.consumed_message, effects)))
    service = coupon_pb2.DESCRIPTOR.services_by_name["CouponService"]
    host.server.add(add_CouponServiceServicer_to_server, CouponServicer(coupons, using), service)
