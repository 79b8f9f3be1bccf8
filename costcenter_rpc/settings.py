"""What operators can set."""

from __future__ import annotations

from pydantic import Field

from costcenter_rpc.domain import DAY_MS, Policy
from mesh.settings import RpcSettings


class Settings(RpcSettings):
    """Settings of costcenter_rpc."""

    listen: str = Field("127.0.0.1:7101", description="Address to serve gRPC on")
    database_url: str = Field("sqlite:///var/costcenter.db", description="SQLAlchemy URL of the ledger")
    freeze_lifetime_hours: int = Field(24, ge=1, le=24 * 90, description="Life of a freeze whose request sets none")
    grace_days: int = Field(7, ge=1, le=365, description="Life of credits refunded from an expired package")

    @property
    def policy(self) -> Policy:
        """The ledger's policy."""
        return Policy(freeze_lifetime_ms=self.freeze_lifetime_hours * DAY_MS // 24, grace_ms=self.grace_days * DAY_MS)
