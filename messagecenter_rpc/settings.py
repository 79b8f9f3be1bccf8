"""What operators can set."""

from __future__ import annotations

from pydantic import Field

from mesh.settings import RpcSettings


class Settings(RpcSettings):
    """Settings of messagecenter_rpc."""

    listen: str = Field("127.0.0.1:7104", description="Address to serve gRPC on")
    database_url: str = Field("sqlite:///var/messagecenter.db", description="SQLAlchemy URL of calls and devices")
    peer_txim: str = Field("127.0.0.1:7105", description="Address of txim_rpc")
