"""What operators can set."""

from __future__ import annotations

from pydantic import Field

from mesh.settings import RmqSettings


class Settings(RmqSettings):
    """Settings of costcenter_rmq."""

    peer_costcenter: str = Field("127.0.0.1:7101", description="Address of costcenter_rpc")
    concurrency: int = Field(1, ge=1, le=64, description="Batches of one queue that are worked at once")
    replay_after_seconds: int = Field(
        30, ge=1, le=86_400, description="How long a stored job may wait before its queue message counts as lost"
    )
    lot_expiry_seconds: float = Field(
        86_400, gt=0, le=86_400, description="Pause between two runs that write off expired packages"
    )
