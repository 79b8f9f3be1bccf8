"""The contracts that have REST paths, and what else the gateway needs to know of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor

import brandmesh
from brandmesh.costcenter.v1 import costcenter_pb2
from brandmesh.messagecenter.v1 import messagecenter_pb2
from brandmesh.sms.v1 import sms_pb2
from brandmesh.smspackage.v1 import sms_package_pb2
from gateway.transcoding.routes import RouteTable, build_routes

FILES: tuple[FileDescriptor, ...] = (
    sms_pb2.DESCRIPTOR,
    messagecenter_pb2.DESCRIPTOR,
    costcenter_pb2.DESCRIPTOR,
    sms_package_pb2.DESCRIPTOR,
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
    return frozenset(route.scope for route in route_table().routes)
