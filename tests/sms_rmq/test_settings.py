"""What operators can set, as a variable of the environment or as a flag."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_settings import CliApp, SettingsError

from sms_rmq.settings import Settings

ACCOUNTS = json.dumps([{"name": "main", "base_url": "http://127.0.0.1:9", "account": "a", "password": "secret"}])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRANDMESH_PROVIDER_ACCOUNTS", ACCOUNTS)


def from_flags(*flags: str) -> Settings:
    return CliApp.run(Settings, cli_args=list(flags))


def test_by_default_a_process_takes_everything() -> None:
    read = Settings()
    assert (read.brands, read.except_brands) == (frozenset(), frozenset())
    assert read.types == {"verification", "notification", "marketing"}
    assert read.modes == {"single", "batch"}
    assert read.receipts is True
    assert [account.name for account in read.provider_accounts] == ["main"]


TEXTS: list[tuple[str, str, set[Any]]] = [
    ("brands", "1001", {1001}),
    ("brands", "1001,1002", {1001, 1002}),
    ("brands", " 1001 , 1002 ,", {1001, 1002}),
    ("brands", "1001,1001", {1001}),
    ("brands", "", set()),
    ("except_brands", "1001", {1001}),
    ("except_brands", "", set()),
    ("types", "verification", {"verification"}),
    ("types", "verification, marketing", {"verification", "marketing"}),
    ("modes", "single", {"single"}),
    ("modes", "batch,single", {"single", "batch"}),
]


@pytest.mark.parametrize(("name", "text", "value"), TEXTS)
def test_collections_are_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: set[Any]
) -> None:
    monkeypatch.setenv(f"BRANDMESH_{name.upper()}", text)
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(("name", "text", "value"), TEXTS)
def test_collections_are_read_from_flags_which_win(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: set[Any]
) -> None:
    monkeypatch.setenv("BRANDMESH_BRANDS", "9")
    monkeypatch.setenv("BRANDMESH_EXCEPT_BRANDS", "9")
    assert getattr(from_flags(f"--{name.replace('_', '-')}", text), name) == value


BAD = [
    ("brands", "all"),
    ("brands", "1.5"),
    ("brands", "0"),
    ("brands", "-1"),
    ("brands", "1001;1002"),
    ("except_brands", "x"),
    ("except_brands", "0"),
    ("types", "verification,spam"),
    ("types", ""),
    ("types", " , "),
    ("modes", "triple"),
    ("modes", ""),
    ("concurrency", "0"),
    ("concurrency", "65"),
    ("chunk_concurrency", "0"),
    ("chunk_concurrency_beside_singles", "65"),
    ("handlers_max", "0"),
    ("receipts", "perhaps"),
    ("inbox_shards", "0"),
    ("claim_lease_seconds", "4"),
    ("submit_lease_seconds", "3601"),
    ("pull_seconds", "-1"),
    ("sweep_seconds", "0"),
    ("drain_seconds", "0"),
]


@pytest.mark.parametrize(("name", "text"), BAD)
def test_what_cannot_be_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"BRANDMESH_{name.upper()}", text)
    with pytest.raises((ValidationError, SettingsError), match=name):
        Settings()


@pytest.mark.parametrize(
    "accounts",
    [
        "",
        "[]",
        "{}",
        "not json",
        '[{"name": "main"}]',
        '[{"name": "Main!", "base_url": "http://x", "account": "a", "password": "p"}]',
        '[{"name": "main", "base_url": "nowhere", "account": "a", "password": "p"}]',
        '[{"name": "main", "base_url": "http://x", "account": "a", "password": "p", "typo": 1}]',
    ],
)
def test_accounts_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch, accounts: str) -> None:
    monkeypatch.setenv("BRANDMESH_PROVIDER_ACCOUNTS", accounts)
    with pytest.raises((ValidationError, SettingsError), match="provider_accounts"):
        Settings()


def test_a_process_without_an_account_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRANDMESH_PROVIDER_ACCOUNTS")
    with pytest.raises(ValidationError, match="provider_accounts"):
        Settings()


@pytest.mark.parametrize(
    ("lease", "account"),
    [
        ("21", {}),
        ("", {"timeout_seconds": 60}),
        ("25", {"wait_seconds_max": 10}),
        ("35.5", {"timeout_seconds": 29}),
    ],
)
def test_a_submit_lease_that_a_submission_may_outlast_is_refused(
    monkeypatch: pytest.MonkeyPatch, lease: str, account: dict[str, float]
) -> None:
    (first,) = json.loads(ACCOUNTS)
    accounts = [first, first | {"name": "slow"} | account]
    monkeypatch.setenv("BRANDMESH_PROVIDER_ACCOUNTS", json.dumps(accounts))
    if lease:
        monkeypatch.setenv("BRANDMESH_SUBMIT_LEASE_SECONDS", lease)
    with pytest.raises(ValidationError, match="submit_lease_seconds"):
        Settings()


def test_a_submit_lease_that_no_submission_outlasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRANDMESH_SUBMIT_LEASE_SECONDS", "22")
    assert Settings().submit_lease_seconds == 22


def test_a_refused_submit_lease_says_what_it_has_to_outlast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRANDMESH_SUBMIT_LEASE_SECONDS", "8")
    with pytest.raises(ValidationError, match="at least 22: wait_seconds_max and timeout_seconds of the account main"):
        Settings()


def test_the_password_of_an_account_is_not_shown() -> None:
    assert "secret" not in repr(Settings())
    assert "secret" not in Settings().model_dump_json()


def test_flags_are_read() -> None:
    read = from_flags("--no-receipts", "--pull-seconds", "0", "--peer-sms", "sms:1", "--handlers-max", "8")
    assert (read.receipts, read.pull_seconds, read.peer_sms, read.handlers_max) == (False, 0, "sms:1", 8)
