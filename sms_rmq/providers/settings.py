"""What an operator says about each provider account."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr

from sms_rmq.providers.port import SmsType

PathText = Annotated[str, Field(pattern=r"^/[A-Za-z0-9/._-]+$", max_length=128)]
BrandId = Annotated[int, Field(gt=0)]


class ProviderAccountSettings(BaseModel):
    """One account. Which messages it carries, where and how it is called, and what it can bear.

    The first account of the list that carries a message's type and destination and names its brand is taken; where
    none names the brand, the first that names no brand.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="What logs and metrics call the account")
    types: frozenset[SmsType] = Field(
        frozenset({"verification", "notification", "marketing"}), min_length=1, description="Types it carries"
    )
    brands: frozenset[BrandId] = Field(frozenset(), description="Brands it carries; empty: every brand")
    international: bool = Field(
        False,
        description="Carries numbers outside mainland China instead of those inside; it has to push to "
        "`/webhooks/chuanglan/{secret}/international/...` of the gateway",
    )

    base_url: HttpUrl = Field(description="Scheme, host and port of the provider")
    account: str = Field(min_length=1, max_length=64, description="Name of the API account")
    password: SecretStr = Field(min_length=1, description="Password of the API account")
    success_code: str = Field("0", min_length=1, description="Code of an answer that accepts")
    send_path: PathText = Field("/msg/v1/send/json", description="One text to many phones")
    variable_path: PathText = Field("/msg/variable/json", description="One text with values for each phone")
    pull_receipts_path: PathText = Field("/msg/pull/report", description="Receipts that were not pushed")
    pull_uplinks_path: PathText = Field("/msg/pull/mo", description="Messages from handsets that were not pushed")

    connect_timeout_seconds: float = Field(3.0, gt=0, le=60, description="Time to connect; nothing is sent before")
    timeout_seconds: float = Field(15.0, gt=0, le=300, description="Time of a whole call; then its outcome is unknown")
    keep_alive_seconds: float = Field(
        15.0, gt=0, le=600, description="Idle connections are closed by then; keep it below the provider's own time"
    )
    connections_max: int = Field(16, ge=2, le=1000, description="Calls at once")
    requests_per_second: float = Field(50.0, ge=0.1, le=10_000, description="Calls a second")
    reserved_share: float = Field(
        0.2, gt=0, lt=1, description="Share of both that marketing and batches leave to the rest"
    )
    wait_seconds_max: float = Field(
        2.0, gt=0, le=60, description="How long a call may wait for its turn before it is put back"
    )
    waiting_max: int = Field(1000, ge=1, le=100_000, description="Calls that may wait for their turn at once")

    circuit_failures_max: int = Field(5, ge=1, le=1000, description="Failed calls in a row that open the circuit")
    circuit_open_seconds: float = Field(15.0, gt=0, le=3600, description="How long failed calls keep it open")
    circuit_stop_seconds: float = Field(
        60.0, gt=0, le=3600, description="How long a refused account keeps it open before a call tries again"
    )
