"""What the wallet service is made of."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

from brandmesh.wallet.v1 import wallet_pb2
from brandmesh.wallet.v1.wallet_pb2_grpc import (
    add_WalletJobServiceServicer_to_server,
    add_WalletServiceServicer_to_server,
)
from mesh.ids import IdAllocator
from mesh.messages import Inbox, Mailbox
from order_rpc.host import Host
from order_rpc.paid_payments import PaidPayments
from order_rpc.wallet import tables
from order_rpc.wallet.clients import BUSINESS, Payments
from order_rpc.wallet.effects import order_effects
from order_rpc.wallet.flash_sale_effects import flash_sale_effects
from order_rpc.wallet.ledger import Ledger
from order_rpc.wallet.recharges import Recharges
from order_rpc.wallet.service import Wallets
from order_rpc.wallet.servicer import WalletJobServicer, WalletServicer

_MINUTE_MS = 60_000


async def add(host: Host) -> None:
    """Serve wallets in this process."""
    await host.migrate(Path(__file__).parent)
    database = host.database
    ledger = await host.stack.enter_async_context(aclosing(Ledger(database)))
    outbox = host.outbox("wallet", tables.produced_message)
    payment_peer = host.peer("payment")
    recharges = Recharges(
        database,
        IdAllocator(database, tables.id_block),
        outbox,
        Payments(payment_peer),
        PaidPayments(payment_peer, BUSINESS),
        lifetime_ms=host.settings.recharge_lifetime_minutes * _MINUTE_MS,
    )
    effects = {
        **order_effects(database),
        **flash_sale_effects(database, outbox),
        ("payment", "paid"): recharges.take_paid,
        ("payment", "refunded"): recharges.note_refunded,
    }
    inbox = Inbox(database, "wallet", tables.consumed_message, effects, outbox=outbox)
    host.mailboxes.add("wallet", Mailbox(outbox=outbox, inbox=inbox))
    services = wallet_pb2.DESCRIPTOR.services_by_name
    host.server.add(
        add_WalletServiceServicer_to_server,
        WalletServicer(Wallets(database), ledger, recharges),
        services["WalletService"],
    )
    host.server.add(add_WalletJobServiceServicer_to_server, WalletJobServicer(recharges), services["WalletJobService"])
