"""What the cart service is made of."""

from __future__ import annotations

from pathlib import Path

from brandmesh.cart.v1 import cart_pb2
from brandmesh.cart.v1.cart_pb2_grpc import add_CartServiceServicer_to_server
from mesh.messages import Inbox, Mailbox
from order_rpc.cart import tables
from order_rpc.cart.clients import Goods
from order_rpc.cart.service import Carts
from order_rpc.cart.servicer import CartServicer
from order_rpc.host import Host


async def add(host: Host) -> None:
    """Serve carts in this process."""
    await host.migrate(Path(__file__).parent)
    carts = Carts(host.database, Goods(host.peer("goods")))
    effects = {("order", "confirmed"): carts.take_out_bought}
    host.mailboxes.add("cart", Mailbox(inbox=Inbox(host.database, "cart", tables.consumed_message, effects)))
    service = cart_pb2.DESCRIPTOR.services_by_name["CartService"]
    host.server.add(add_CartServiceServicer_to_server, CartServicer(carts), service)
