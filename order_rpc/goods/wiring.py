"""What the goods service is made of."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

from brandmesh.goods.v1 import goods_pb2
from brandmesh.goods.v1.goods_pb2_grpc import add_GoodsServiceServicer_to_server
from mesh.ids import IdAllocator
from mesh.messages import Inbox, Mailbox
from order_rpc.goods import tables
from order_rpc.goods.service import GoodsCatalogue
from order_rpc.goods.servicer import GoodsServicer
from order_rpc.goods.stock import Stock
from order_rpc.host import Host


async def add(host: Host) -> None:
    """Serve goods in this process."""
    await host.migrate(Path(__file__).parent)
    stock = await host.stack.enter_async_context(aclosing(Stock(host.database)))
    ids = IdAllocator(host.database, tables.id_block)
    catalogue = await host.stack.enter_async_context(aclosing(GoodsCatalogue(host.database, ids)))
    effects = {("order", "cancelled"): stock.release_all}
    host.mailboxes.add("goods", Mailbox(inbox=Inbox(host.database, "goods", tables.consumed_message, effects)))
    service = goods_pb2.DESCRIPTOR.services_by_name["GoodsService"]
    host.server.add(add_GoodsServiceServicer_to_server, GoodsServicer(catalogue, stock), service)
