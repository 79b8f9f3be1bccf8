"""What operators can set."""

from __future__ import annotations

from pydantic import Field

from mesh.settings import RpcSettings


class Settings(RpcSettings):
    """Settings of sms_rpc."""

    listen: str = Field("127.0.0.1:7102", description="Address to serve gRPC on")
    database_url: str = Field("sqlite:///var/sms.db", description="SQLAlchemy URL of tasks and records")
    peer_costcenter: str = Field("127.0.0.1:7101", description="Address of costcenter_rpc")
