"""The user service, served over gRPC on a database of its own, with hashes that take no time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from brandmesh.user.v1 import user_pb2 as pb
from brandmesh.user.v1.user_pb2_grpc import UserServiceStub
from mesh.access_tokens import AccessTokens, UserToken
from mesh.errors import DomainError
from order_rpc.user import tables
from tests.order.running import Running, running

BRAND = 1001
OTHER_BRAND = 1002
PASSWORD = "correct-Horse-7"
OTHER_PASSWORD = "battery-Staple-9"


@dataclass
class Accounts:
    """The service and its tables."""

    running: Running

    def __post_init__(self) -> None:
        self.stub = UserServiceStub(self.running.peer.channel)

    async def register(self, user_name: str, **changes: Any) -> pb.RegisterUserResponse:
        fields: dict[str, Any] = {
            "brand_id": BRAND,
            "password": PASSWORD,
            "request_id": self.running.next_id(),
        } | changes
        message = pb.RegisterUserRequest(user_name=user_name, **fields)
        return await self.running.peer.call(self.stub.RegisterUser, message)

    async def log_in(self, user_name: str, password: str = PASSWORD, brand_id: int = BRAND) -> pb.LogInResponse:
        message = pb.LogInRequest(brand_id=brand_id, user_name=user_name, password=password)
        return await self.running.peer.call(self.stub.LogIn, message)

    async def refresh(self, token: str, brand_id: int = BRAND) -> pb.Tokens:
        message = pb.RefreshTokensRequest(brand_id=brand_id, refresh_token=token)
        return (await self.running.peer.call(self.stub.RefreshTokens, message)).tokens

    async def log_out(self, token: str, brand_id: int = BRAND) -> None:
        message = pb.LogOutRequest(brand_id=brand_id, refresh_token=token)
        await self.running.peer.call(self.stub.LogOut, message)

    async def get(self, user_id: str, brand_id: int = BRAND) -> pb.User:
        message = pb.GetUserRequest(brand_id=brand_id, user_id=user_id)
        return (await self.running.peer.call(self.stub.GetUser, message)).user

    async def change_password(self, user_id: str, old: str, new: str, brand_id: int = BRAND) -> pb.Tokens:
        message = pb.ChangePasswordRequest(brand_id=brand_id, user_id=user_id, old_password=old, new_password=new)
        return (await self.running.peer.call(self.stub.ChangePassword, message)).tokens

    def read(self, access_token: str) -> UserToken:
        """Read an access token as the gateway does."""
        return AccessTokens(self.running.settings.user_token_keys).read(access_token)

    async def accounts(self) -> list[dict[str, Any]]:
        return await self.running.rows(tables.account)

    async def sessions(self) -> list[dict[str, Any]]:
        return await self.running.rows(tables.session)

    async def set_all(self, table: sa.Table, **values: Any) -> None:
        """Let time pass, or parameters change, for all rows."""
        await self.running.execute(sa.update(table).values(values))

    async def failed_logins(self, user_name: str, count: int) -> None:
        for _ in range(count):
            await refused("LOGIN_WRONG", self.log_in(user_name, "not-the-Password-1"))


async def refused(reason: str, call: Any, *fields: str) -> DomainError:
    """Expect a refusal that names these fields."""
    with pytest.raises(DomainError) as refusal:
        await call
    assert refusal.value.reason == reason, refusal.value
    assert {violation.field for violation in refusal.value.violations} == set(fields)
    return refusal.value


async def outcomes(*calls: Any) -> tuple[list[Any], list[str]]:
    """Make calls at once; answer what came of them: the answers, and the reasons of the refusals."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    defects = [one for one in results if isinstance(one, BaseException) and not isinstance(one, DomainError)]
    assert defects == []
    refusals = sorted(one.reason for one in results if isinstance(one, DomainError))
    return [one for one in results if not isinstance(one, DomainError)], refusals


@asynccontextmanager
async def running_accounts(directory: Path, **changes: Any) -> AsyncIterator[Accounts]:
    """Serve users; `changes` are settings."""
    quick = {"password_memory_kib": 8, "password_rounds": 1}
    async with running(directory, "user", **{**quick, **changes}) as one:
        yield Accounts(one)
