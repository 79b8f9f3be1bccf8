import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from gateway.keys.domain import ApiKey, generate_key, hash_key, key_id_of
from gateway.keys.ring import KeyRing
from gateway.keys.storage import MIGRATIONS, find_key, insert_key, migrate
from gateway.problems import ProblemError
from gateway.tables import metadata
from mesh.database import Database
from mesh.testing import eventually
from tests.databases import empty_database
from tests.gateway.harness import BRAND, Served, ServeGateway
from tests.gateway.test_api import SMS, ask, refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def url(tmp_path: Path) -> str:
    """Where a test keeps keys of its own."""
    return await empty_database(tmp_path, "gateway", (MIGRATIONS, metadata))


async def test_key_has_its_form_and_only_its_hash_is_kept() -> None:
    key_id, text = generate_key()
    assert re.fullmatch(r"bm_[a-z2-7]{12}_[A-Za-z0-9_-]{43}", text)
    assert key_id_of(text) == key_id
    key = ApiKey(key_id, hash_key(text), "", None, frozenset(), 0)
    assert key.is_text(text)
    assert not key.is_text(text[:-1] + ("A" if text[-1] != "A" else "B"))
    assert text not in repr(key)


@pytest.mark.parametrize("text", ["", "bm_", "bm_a_b", "xx_aaaaaaaaaaaa_" + "a" * 43, "bm_aaaaaaaaaaaa_" + "ä" * 43])
async def test_other_forms_have_no_id(text: str) -> None:
    assert key_id_of(text) is None


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (None, "KEY_MISSING"),
        ("", "KEY_INVALID"),
        ("Basic YTpi", "KEY_INVALID"),
        ("Bearer", "KEY_INVALID"),
        ("Bearer x", "KEY_INVALID"),
        ("Bearer bm_aaaaaaaaaaaa_" + "a" * 43, "KEY_INVALID"),
        ("Bearer bm_aaaaaaaaaaaa_" + "a" * 20_000, "KEY_INVALID"),
    ],
)
async def test_other_keys_are_refused_before_the_body_is_read(
    served: Served, authorization: str | None, reason: str
) -> None:
    headers = {"content-type": "application/json"} | ({} if authorization is None else {"authorization": authorization})
    found = await refusal(served, "POST", SMS, data=b"{", headers=headers)
    assert found[:2] == (401, reason)
    _, _, answered = await ask(served, "POST", SMS, data=b"{", headers=headers)
    assert answered["www-authenticate"].startswith("Bearer realm=")


async def test_two_authorization_headers_are_refused(served: Served) -> None:
    head = f"GET {SMS} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n" + 2 * f"authorization: Bearer {served.key}\r\n"
    assert b"KEY_INVALID" in await served.raw(head.encode() + b"\r\n")


async def test_right_id_with_another_secret_is_refused(served: Served) -> None:
    key = served.key[:-43] + "A" * 43
    found = await refusal(served, "GET", SMS, headers=served.headers(key))
    assert found[:2] == (401, "KEY_INVALID")


async def test_scheme_is_read_in_any_case(served: Served) -> None:
    status, _, _ = await ask(served, "GET", SMS, headers={"authorization": f"bEARER {served.key}"})
    assert status == 200


async def test_brand_of_another_is_refused_with_its_field(served: Served) -> None:
    status, reason, problem = await refusal(served, "GET", "/v1/brands/1002/sms")
    assert (status, reason) == (403, "BRAND_NOT_ALLOWED")
    assert problem["violations"][0]["field"] == "brandId"


async def test_key_for_all_brands(served: Served) -> None:
    _, key = await served.make_key(brand_ids=None)
    for brand_id in (BRAND, 1002):
        status, _, _ = await ask(served, "GET", f"/v1/brands/{brand_id}/sms", headers=served.headers(key))
        assert status == 200


async def test_scope_that_lacks_is_named(served: Served) -> None:
    _, key = await served.make_key(scopes=frozenset({"sms:read"}))
    status, reason, problem = await refusal(served, "POST", SMS, headers=served.headers(key), json={})
    assert (status, reason) == (403, "SCOPE_MISSING")
    assert problem["metadata"] == {"scope": "sms:send"}
    status, _, _ = await ask(served, "GET", SMS, headers=served.headers(key))
    assert status == 200


async def test_expired_key(served: Served) -> None:
    _, key = await served.make_key(expires_at_ms=time.time_ns() // 1_000_000 - 1)
    found = await refusal(served, "GET", SMS, headers=served.headers(key))
    assert found[:2] == (401, "KEY_EXPIRED")


async def test_revoked_key_stops_working_soon(served: Served) -> None:
    key_id, key = await served.make_key()
    assert (await ask(served, "GET", SMS, headers=served.headers(key)))[0] == 200
    await served.revoke(key_id)

    async def is_refused() -> bool:
        return (await ask(served, "GET", SMS, headers=served.headers(key)))[0] == 401

    await eventually(is_refused)


async def test_key_is_read_once_while_it_is_remembered(url: str) -> None:
    database = Database(url, pool_size=4)
    await migrate(database)
    key_id, text = generate_key()
    async with database.write() as connection:
        await insert_key(connection, ApiKey(key_id, hash_key(text), "", frozenset({1}), frozenset({"sms:send"}), 0))
        assert await find_key(connection, key_id) is not None
    ring = KeyRing(database, cache_seconds=60, cache_keys_max=2)
    header = [f"Bearer {text}"]
    answers = await asyncio.gather(*(ring.authenticate(header) for _ in range(50)))
    assert all(answer is answers[0] for answer in answers)
    await database.close()
    assert await ring.authenticate(header) is answers[0]


async def test_migrations_make_the_tables_as_they_are_described(url: str) -> None:
    database = Database(url)
    await migrate(database)
    await migrate(database)

    def differences(connection: sa.Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"version_table": "gateway_version"})
        found: list[Any] = compare_metadata(context, metadata)
        return found

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


async def test_memory_of_unknown_keys_is_bounded(url: str) -> None:
    database = Database(url)
    await migrate(database)
    ring = KeyRing(database, cache_seconds=60, cache_keys_max=10)
    for _ in range(30):
        with pytest.raises(ProblemError):
            await ring.authenticate([f"Bearer {generate_key()[1]}"])
    assert len(ring._cache) == 10
    await database.close()


async def test_database_that_is_away_lets_nobody_in(serve: ServeGateway) -> None:
    served = await serve(key_cache_seconds=0)
    async with served.database.write() as connection:
        await connection.exec_driver_sql("ALTER TABLE api_keys RENAME TO gone")
    status, reason, problem = await refusal(served, "GET", SMS)
    assert (status, reason) == (503, "DATABASE_UNAVAILABLE")
    assert "api_keys" not in str(problem)


def command(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # our own command
        [sys.executable, "-m", "gateway.keys", *arguments],
        env={"BRANDMESH_DATABASE_URL": url, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


async def test_command_line_makes_lists_and_revokes(url: str) -> None:
    made = command(
        url,
        "create",
        "--brands",
        "1001,1002",
        "--scopes",
        "sms:send",
        "--name",
        "[red]shop",
        "--expires-days",
        "3",
    )
    assert made.returncode == 0, made.stderr
    key_id = key_id_of(made.stdout.strip())
    assert key_id is not None
    listed = command(url, "list").stdout
    assert key_id in listed
    assert "1001, 1002" in listed
    assert "[red]" in listed
    assert made.stdout.strip() not in listed
    assert command(url, "revoke", key_id).returncode == 0
    again = command(url, "revoke", key_id)
    assert again.returncode == 1
    assert "no key" in again.stderr


async def test_command_line_makes_a_key_for_each_brand(url: str) -> None:
    made = command(url, "create", "--brands", "1002,1001", "--scopes", "sms:send", "--each").stdout.split()
    database = Database(url)
    async with database.read() as connection:
        keys = [await find_key(connection, key_id_of(text) or "") for text in made]
    await database.close()
    assert [key.brand_ids for key in keys if key] == [frozenset({1002}), frozenset({1001})]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--brands", "x", "--scopes", "sms:send"),
        ("--brands", "0", "--scopes", "sms:send"),
        ("--brands", "1", "--scopes", "sms:everything"),
    ],
)
async def test_command_line_refuses_what_is_wrong(url: str, arguments: tuple[str, ...]) -> None:
    answer = command(url, "create", *arguments)
    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr
