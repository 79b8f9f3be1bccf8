"""What operators can set."""

from __future__ import annotations

from pydantic import Field

from mesh.settings import RmqSettings


class Settings(RmqSettings):
    """Settings of order_rmq."""

    peer_order: str = Field("127.0.0.1:7103", description="Address of order_rpc")
    peer_costcenter: str = Field("127.0.0.1:7101", description="Address of costcenter_rpc")
