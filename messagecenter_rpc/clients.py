"""Tencent IM, in the words of this service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum

from brandmesh.txim.v1 import txim_pb2 as pb
from brandmesh.txim.v1.txim_pb2_grpc import TxImServiceStub
from mesh.channel import Peer

ACCOUNTS_MAX = 500
"""Accounts that one QueryOnlineStatus asks for."""


class OnlineState(IntEnum):
    """Whether an account can be reached; the numbers of both contracts."""

    NOT_KNOWN = 0
    ONLINE = 1
    PUSH_ONLINE = 2
    OFFLINE = 3


class TxIm:
    """Asks which accounts are online."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = TxImServiceStub(peer.channel)

    async def online_states(self, accounts: Iterable[str]) -> Mapping[str, OnlineState]:
        """Answer the state of each account. Raises what txim_rpc refuses."""
        wanted = sorted(set(accounts))
        states: dict[str, OnlineState] = {}
        for start in range(0, len(wanted), ACCOUNTS_MAX):
            request = pb.QueryOnlineStatusRequest(accounts=wanted[start : start + ACCOUNTS_MAX])
            response = await self._peer.call(self._stub.QueryOnlineStatus, request)
            states.update((one.account, OnlineState(one.state)) for one in response.states)
        return states
