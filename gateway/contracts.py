"""The contracts that have REST paths, and what else the gateway needs to know of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor

import brandmesh
from brandmesh.cart.v1 import cart_pb2
from brandmesh.costcenter.v1 import costcenter_pb2
from brandmesh.coupon.v1 import coupon_pb2
from brandmesh.flashsale.v1 import flash_sale_pb2
from brandmesh.goods.v1 import goods_pb2
from brandmesh.messagecenter.v1 import messagecenter_pb2
from brandmesh.order.v1 import order_pb2
from brandmesh.sms.v1 import sms_pb2
from brandmesh.smspackage.v1 import sms_package_pb2
from brandmesh.user.v1 import user_pb2
from brandmesh.wallet.v1 import wallet_pb2
from gateway.transcoding.routes import RouteTable, build_routes

FILES: tuple[FileDescriptor, ...] = (
    sms_pb2.DESCRIPTOR,
    messagecenter_pb2.DESCRIPTOR,
    costcenter_pb2.DESCRIPTOR,
    sms_package_pb2.DESCRIPTOR,
    user_pb2.DESCRIPTOR,
    goods_pb2.DESCRIPTOR,
    cart_pb2.DESCRIPTOR,
    coupon_pb2.DESCRIPTOR,
    wallet_pb2.DESCRIPTOR,
    order_pb2.DESCRIPTOR,
    flash_sale_pb2.DESCRIPTOR,
)
"""In the order in which the documentation shows them."""

IMAGE = Path(next(iter(brandmesh.__path__))).parent / "contracts.binpb"
"""The contracts as a FileDescriptorSet with their comments, which generated code does not carry."""


@cache
def route_table() -> RouteTable:
    """All REST paths. Raises ContractError when an rpc asks for what the gateway does not do."""
    return build_routes(FILES)


def known_scopes() -> frozenset[str]:
    """Every scope that some rpc requires."""
    return frozenset(route.scope for route in route_table().routes if route.scope)
