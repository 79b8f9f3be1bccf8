"""Proto in, one call, proto out."""

from __future__ import annotations

from typing import Any

from brandmesh.user.v1 import user_pb2 as pb
from brandmesh.user.v1.user_pb2_grpc import UserServiceServicer
from mesh.timestamps import to_timestamp
from order_rpc.user.domain import User
from order_rpc.user.service import Registration, Users
from order_rpc.user.sessions import Sessions, Tokens

Context = Any
"""grpc.aio's context, which no method here reads."""


class UserServicer(UserServiceServicer):
    """What the apps of users call, through the gateway."""

    def __init__(self, users: Users, sessions: Sessions) -> None:
        self._users = users
        self._sessions = sessions

    async def RegisterUser(self, request: pb.RegisterUserRequest, context: Context) -> pb.RegisterUserResponse:
        found = await self._users.register(
            Registration(request.brand_id, request.request_id, request.user_name, request.password, request.user_mobile)
        )
        return pb.RegisterUserResponse(user=_user(found.user), tokens=_tokens(found.tokens))

    async def LogIn(self, request: pb.LogInRequest, context: Context) -> pb.LogInResponse:
        found = await self._users.log_in(request.brand_id, request.user_name, request.password)
        return pb.LogInResponse(user=_user(found.user), tokens=_tokens(found.tokens))

    async def RefreshTokens(self, request: pb.RefreshTokensRequest, context: Context) -> pb.RefreshTokensResponse:
        tokens = await self._sessions.refresh(request.brand_id, request.refresh_token)
        return pb.RefreshTokensResponse(tokens=_tokens(tokens))

    async def LogOut(self, request: pb.LogOutRequest, context: Context) -> pb.LogOutResponse:
        await self._sessions.end(request.brand_id, request.refresh_token)
        return pb.LogOutResponse()

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        return pb.GetUserResponse(user=_user(await self._users.get(request.brand_id, int(request.user_id))))

    async def ChangePassword(self, request: pb.ChangePasswordRequest, context: Context) -> pb.ChangePasswordResponse:
        tokens = await self._users.change_password(
            request.brand_id, int(request.user_id), request.old_password, request.new_password
        )
        return pb.ChangePasswordResponse(tokens=_tokens(tokens))


def _user(user: User) -> pb.User:
    return pb.User(
        user_id=str(user.user_id),
        user_name=user.user_name,
        user_mobile=user.user_mobile or "",
        user_score=user.user_score,
        user_reg_time=to_timestamp(user.user_reg_time_ms),
    )


def _tokens(tokens: Tokens) -> pb.Tokens:
    return pb.Tokens(
        access_token=tokens.access_token,
        access_expire_time=to_timestamp(tokens.access_expires_at_ms),
        refresh_token=tokens.refresh_token,
        refresh_expire_time=to_timestamp(tokens.refresh_expires_at_ms),
    )
