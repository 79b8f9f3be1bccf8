"""The engines there are, and the suites that run on each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from engines.engine import Engine
from engines.mariadb import MariaDb
from engines.postgresql import PostgreSql
from engines.redis import Redis
from engines.rocketmq.engine import RocketMq


@dataclass(frozen=True, slots=True)
class EngineUnderTest:
    """An engine, or several that work together, and what is run on them."""

    name: str
    """What it is called on the command line."""
    engines: Mapping[str, Engine]
    """By the environment variable that tells the suites where the server is."""
    runs: tuple[tuple[str, ...], ...]
    """Arguments of pytest, one run after the other."""


_PROCESSES_MAX = 4
"""More would want more connections than the hundred that PostgreSQL has."""

_SIDE_BY_SIDE = ("--numprocesses", str(min(os.cpu_count() or 1, _PROCESSES_MAX)), "--dist", "loadfile")
"""For suites whose test processes each have databases of their own: tests wait about as long as they compute."""

_CHAIN_ON_SERVERS = (
    "tests/chain/test_one_sms.py",
    "tests/chain/test_one_im_call.py",
    "tests/chain/test_one_order.py",
    "tests/chain/test_under_fire.py",
    "tests/chain/test_im_under_fire.py",
)
"""What differs where bus, Redis and database are servers: each way of a message, and each process killed in turn.

Large numbers are asked of each database by itself, and of the bus by its own suite.
"""

_ON_DATABASES = (
    (
        *_SIDE_BY_SIDE,
        # First, for it takes longest: one process is at it, while the others go through the rest.
        "tests/chain",
        "--ignore=tests/chain/test_run_command.py",
        "tests/mesh/test_database.py",
        "tests/mesh/test_database_errors.py",
        "tests/mesh/test_bulk_rows.py",
        "tests/mesh/test_statements.py",
        "tests/mesh/test_migrations.py",
        "tests/mesh/messages",
        "tests/costcenter",
        "tests/costcenter_rmq",
        "tests/sms_rpc",
        "tests/sms_rmq/test_any_order.py",
        "tests/order",
        "--ignore=tests/order/mail",
        "--ignore=tests/order/payment/test_sandbox_pay.py",
        "--ignore=tests/order/payment/test_wechat_pay.py",
        "tests/messagecenter_rpc",
        "tests/messagecenter_rmq",
        "tests/txim_rpc",
        "--ignore=tests/txim_rpc/test_codes.py",
        "--ignore=tests/txim_rpc/test_limits.py",
        "--ignore=tests/txim_rpc/test_lost_answers.py",
        "--ignore=tests/txim_rpc/test_queries.py",
        "--ignore=tests/txim_rpc/test_secrets.py",
        "tests/gateway/test_keys.py",
        "tests/chaos/test_tcp_proxy.py",
    ),
)
"""The whole chain, the port to databases, every service that keeps rows, and histories of messages in any order.

Whole folders, and no marker on their tests: a new test of a storage runs on every engine without anybody thinking of
it. Left out is what no database is behind, and test_run_command.py, whose subject is the run on SQLite files. Of
txim_rpc, too, what Tencent's answers and limits mean: what it keeps of accounts is asked of its other suites.
"""

_ON_REDIS = (("tests/mesh/bus", "tests/mesh/inbox", "tests/mesh/worker"),)
"""What talks to Redis by itself: the bus, the inbox, and consumers on the bus. One run, for they share its keyspace."""


_ON_ROCKETMQ = (
    (
        "tests/mesh/bus/test_rocketmq.py",
        "tests/mesh/bus/test_rocketmq_crashes.py",
        "tests/mesh/bus/test_rocketmq_two_masters.py",
    ),
)
"""The bus, of which the same is asked as on Redis, and crashes: of the broker, of the proxy, of one master of two."""


def _itself(name: str) -> tuple[str, ...]:
    """What is asked of the engine itself; the suite of embedded engines passes over those it does not find."""
    return ("tests/engines/test_servers.py", "-k", name)


_DATABASE = "BRANDMESH_TEST_DATABASE_URL"
_REDIS = "BRANDMESH_TEST_REDIS_URL"
_ROCKETMQ = "BRANDMESH_TEST_ROCKETMQ_URL"

ENGINES: dict[str, EngineUnderTest] = {
    tested.name: tested
    for tested in (
        EngineUnderTest("mariadb", {_DATABASE: MariaDb()}, (_itself("mariadb"), *_ON_DATABASES)),
        EngineUnderTest("postgresql", {_DATABASE: PostgreSql()}, (_itself("postgresql"), *_ON_DATABASES)),
        EngineUnderTest("rocketmq", {_ROCKETMQ: RocketMq(visibility_seconds_min=1)}, _ON_ROCKETMQ),
        # The mesh on servers alone, as a large chain runs it.
        EngineUnderTest("stack", {_DATABASE: MariaDb(), _REDIS: Redis(), _ROCKETMQ: RocketMq()}, (_CHAIN_ON_SERVERS,)),
        EngineUnderTest("redis", {_REDIS: Redis()}, (_itself("redis"), *_ON_REDIS)),
    )
}
"""The longest first, so that the last do not run alone."""
