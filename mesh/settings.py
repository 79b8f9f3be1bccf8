"""What every process reads from its environment and its command line.

Each setting `some_name` is the variable `BRANDMESH_SOME_NAME` and the flag `--some-name`; the flag wins. `--help` lists
them with their defaults.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Collected = TypeVar("Collected")


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaSeparated = Annotated[Collected, NoDecode, BeforeValidator(_split)]
"""A collection that is written as `a,b,c`."""


class ProcessSettings(BaseSettings):
    """Settings that every process has."""

    model_config = SettingsConfigDict(
        env_prefix="BRANDMESH_",
        cli_parse_args=False,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        extra="ignore",
        frozen=True,
        # A refused value may be a password that stands beside the wrong one.
        hide_input_in_errors=True,
    )

    log_format: Literal["console", "json"] = Field("json", description="How log lines are written")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged")
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="Port on the metrics host that serves Prometheus; 0 serves none"
    )
    metrics_host: str = Field("127.0.0.1", description="Address that serves Prometheus")
    drain_seconds: float = Field(
        10.0, gt=0, le=600, description="How long work under way may take to finish after SIGTERM"
    )


class RpcSettings(ProcessSettings):
    """Settings that every gRPC service has besides."""

    listen: str = Field("127.0.0.1:0", description="Address to serve gRPC on")
    database_url: str = Field(description="SQLAlchemy URL of the service's own database")
    database_pool_size: int = Field(8, ge=1, le=100, description="Connections to a server database")
    migrate: bool = Field(True, description="Bring the database's tables up to date before serving")
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis or Valkey")
    bus_url: str = Field("", description="Where queues live; empty: streams on redis_url")
    message_bytes_max: int = Field(32 << 20, ge=1 << 16, description="Largest gRPC message taken or sent")
    request_timeout_seconds: float = Field(30.0, gt=0, description="Deadline of a call whose caller set none")


class RmqSettings(ProcessSettings):
    """Settings that every consumer process has besides."""

    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis or Valkey")
    bus_url: str = Field("", description="Where queues live; empty: streams on redis_url")
    message_bytes_max: int = Field(32 << 20, ge=1 << 16, description="Largest gRPC message taken or sent")
    sweep_seconds: float = Field(5.0, gt=0, le=3600, description="Pause between two passes over what is overdue")
