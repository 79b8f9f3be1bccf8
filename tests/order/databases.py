"""The tables of all services of order_rpc, for tests."""

from __future__ import annotations

from pathlib import Path

import order_rpc
from order_rpc.cart import tables as cart
from order_rpc.coupon import tables as coupon
from order_rpc.flash_sale import tables as flash_sale
from order_rpc.goods import tables as goods
from order_rpc.order import tables as order
from order_rpc.payment import tables as payment
from order_rpc.sms_package import tables as sms_package
from order_rpc.user import tables as user
from order_rpc.wallet import tables as wallet
from tests.databases import Part

_FOLDER = Path(order_rpc.__file__).parent

PARTS: tuple[Part, ...] = tuple(
    (_FOLDER / name / "migrations", tables.metadata)
    for name, tables in {
        "cart": cart,
        "coupon": coupon,
        "flash_sale": flash_sale,
        "goods": goods,
        "order": order,
        "payment": payment,
        "sms_package": sms_package,
        "user": user,
        "wallet": wallet,
    }.items()
)
