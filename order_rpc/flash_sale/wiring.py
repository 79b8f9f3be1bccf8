"""What flash sales are made of."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

from brandmesh.flashsale.v1 import flash_sale_pb2
from brandmesh.flashsale.v1.flash_sale_pb2_grpc import (
    add_FlashSaleJobServiceServicer_to_server,
    add_FlashSaleServiceServicer_to_server,
)
from mesh.ids import IdAllocator
from mesh.messages import Mailbox
from mesh.redis_connection import connect_redis
from order_rpc.flash_sale import tables
from order_rpc.flash_sale.admission import Admission
from order_rpc.flash_sale.buying import Buying
from order_rpc.flash_sale.clients import OrderIds
from order_rpc.flash_sale.entrance import Entrance
from order_rpc.flash_sale.inbox import AnswersInbox
from order_rpc.flash_sale.loading import Loading
from order_rpc.flash_sale.outcomes import Outcomes
from order_rpc.flash_sale.repair import Repair
from order_rpc.flash_sale.service import FlashSales
from order_rpc.flash_sale.servicer import FlashSaleJobServicer, FlashSaleServicer
from order_rpc.flash_sale.writing import Writing
from order_rpc.host import Host


async def add(host: Host) -> None:
    """Serve flash sales in this process."""
    await host.migrate(Path(__file__).parent)
    database, stack = host.database, host.stack
    redis = connect_redis(host.settings.redis_url, "order_rpc.flash_sale")
    stack.push_async_callback(redis.aclose)
    outbox = host.outbox("flash_sale", tables.produced_message)
    ids = IdAllocator(database, tables.id_block)
    admission = Admission(redis)
    loading = Loading(database, admission)
    writing = await stack.enter_async_context(
        aclosing(Writing(database, admission, outbox, ids, OrderIds(host.peer("order"))))
    )
    buying = await stack.enter_async_context(aclosing(Buying(Entrance(admission, loading), writing)))
    outcomes = Outcomes(
        database,
        admission,
        outbox,
        redis,
        attempt_lifetime_ms=int(host.settings.flash_sale_attempt_seconds * 1000),
    )
    host.mailboxes.add("flash_sale", Mailbox(outbox, AnswersInbox(database, outcomes, outbox)))
    services = flash_sale_pb2.DESCRIPTOR.services_by_name
    host.server.add(
        add_FlashSaleServiceServicer_to_server,
        FlashSaleServicer(FlashSales(database, ids, loading), buying),
        services["FlashSaleService"],
    )
    host.server.add(
        add_FlashSaleJobServiceServicer_to_server,
        FlashSaleJobServicer(Repair(database, admission, loading), outcomes),
        services["FlashSaleJobService"],
    )
