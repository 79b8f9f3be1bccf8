"""What operators can set, as a variable of the environment or as a flag."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from pydantic_settings import CliApp, SettingsError

from messagecenter_rmq.settings import Settings


def from_flags(*flags: str) -> Settings:
    return CliApp.run(Settings, cli_args=list(flags))


def test_by_default_a_process_takes_everything() -> None:
    read = Settings()
    assert (read.brands, read.except_brands) == (frozenset(), frozenset())
    assert (read.batch_recipients_max, read.sends_in_flight_max) == (500, 200)
    assert read.lease_seconds > 2 * read.send_timeout_seconds, "most of a lease is for waiting and for the answer"


@pytest.mark.parametrize(("text", "value"), [("1001", {1001}), (" 1001 , 1002 ,", {1001, 1002}), ("", set())])
@pytest.mark.parametrize("name", ["brands", "except_brands"])
def test_brands_are_read_from_the_environment_and_from_flags(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: set[int]
) -> None:
    monkeypatch.setenv(f"BRANDMESH_{name.upper()}", text)
    assert getattr(Settings(), name) == value
    monkeypatch.setenv(f"BRANDMESH_{name.upper()}", "9")
    assert getattr(from_flags(f"--{name.replace('_', '-')}", text), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("brands", "all"),
        ("brands", "0"),
        ("brands", "1001;1002"),
        ("except_brands", "-1"),
        ("concurrency", "0"),
        ("concurrency", "65"),
        ("handlers_max", "0"),
        ("batch_recipients_max", "0"),
        ("batch_recipients_max", "501"),
        ("sends_in_flight_max", "0"),
        ("send_timeout_seconds", "0"),
        ("lease_seconds", "4"),
        ("lease_seconds", "3601"),
        ("lease_seconds", "20"),
        ("sweep_seconds", "0"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"BRANDMESH_{name.upper()}", text)
    with pytest.raises((ValidationError, SettingsError), match=name):
        Settings()


def test_a_lease_outlasts_a_send() -> None:
    assert from_flags("--send-timeout-seconds", "5", "--lease-seconds", "10").lease_seconds == 10
    with pytest.raises(ValidationError, match="lease_seconds"):
        from_flags("--send-timeout-seconds", "6", "--lease-seconds", "6")
