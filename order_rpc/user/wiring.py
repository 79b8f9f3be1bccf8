"""What the user service is made of."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from brandmesh.user.v1 import user_pb2
from brandmesh.user.v1.user_pb2_grpc import add_UserServiceServicer_to_server
from mesh.access_tokens import AccessTokens
from mesh.ids import IdAllocator
from mesh.large_blocks import give_large_blocks_back
from order_rpc.host import Host
from order_rpc.user import tables
from order_rpc.user.attempts import LoginAttempts
from order_rpc.user.passwords import Passwords
from order_rpc.user.service import Users
from order_rpc.user.servicer import UserServicer
from order_rpc.user.sessions import Lifetimes, Sessions

_SECOND_MS = 1000
_DAY_MS = 86_400_000


async def add(host: Host) -> None:
    """Serve users in this process."""
    await host.migrate(Path(__file__).parent)
    settings, database = host.settings, host.database
    # Each hash of a password takes 19 MB for a moment.
    give_large_blocks_back()
    executor = ThreadPoolExecutor(settings.password_hashes_at_once, thread_name_prefix="passwords")
    host.stack.callback(executor.shutdown, cancel_futures=True)
    passwords = Passwords(
        executor,
        memory_kib=settings.password_memory_kib,
        rounds=settings.password_rounds,
        at_once=settings.password_hashes_at_once,
    )
    ids = IdAllocator(database, tables.id_block)
    lifetimes = Lifetimes(settings.access_token_seconds * _SECOND_MS, settings.refresh_token_days * _DAY_MS)
    sessions = Sessions(database, ids, AccessTokens(settings.user_token_keys), lifetimes)
    users = Users(database, ids, passwords, sessions, LoginAttempts(database))
    service = user_pb2.DESCRIPTOR.services_by_name["UserService"]
    host.server.add(add_UserServiceServicer_to_server, UserServicer(users, sessions), service)
