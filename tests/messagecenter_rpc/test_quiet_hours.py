from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagecenter_rpc.quiet_hours import QuietHours, is_time_zone

DAY_MS = 86_400_000


def at_ms(written: str, time_zone: str = "Asia/Shanghai", fold: int = 0) -> int:
    """Read a time on the wall, with seconds and milliseconds if need be."""
    moment = datetime.fromisoformat(written).replace(tzinfo=ZoneInfo(time_zone), fold=fold)
    return round(moment.timestamp() * 1000)


@pytest.mark.parametrize(
    ("written", "is_quiet"),
    [
        ("2026-03-01T12:59:59.999", False),
        ("2026-03-01T13:00", True),
        ("2026-03-01T14:29:59.999", True),
        ("2026-03-01T14:30", False),
        ("2026-03-01T00:00", False),
    ],
)
def test_within_a_day(written: str, is_quiet: bool) -> None:
    assert QuietHours("13:00", "14:30").contains(at_ms(written)) is is_quiet


@pytest.mark.parametrize(
    ("written", "is_quiet"),
    [
        ("2026-03-01T22:29:59.999", False),
        ("2026-03-01T22:30", True),
        ("2026-03-01T23:59:59.999", True),
        ("2026-03-02T00:00", True),
        ("2026-03-02T06:59:59.999", True),
        ("2026-03-02T07:00", False),
    ],
)
def test_past_midnight(written: str, is_quiet: bool) -> None:
    assert QuietHours("22:30", "07:00").contains(at_ms(written)) is is_quiet


def test_until_midnight() -> None:
    quiet = QuietHours("22:00", "00:00")
    assert quiet.contains(at_ms("2026-03-01T23:59"))
    assert not quiet.contains(at_ms("2026-03-02T00:00"))


def test_no_time_zone_is_shanghai() -> None:
    moment = at_ms("2026-03-01T23:00")
    assert QuietHours("22:00", "07:00").contains(moment)
    assert not QuietHours("22:00", "07:00", "UTC").contains(moment)
    assert QuietHours("15:00", "16:00", "UTC").contains(moment)


# On 2026-03-29 Berlin's wall goes from 02:00 to 03:00, and on 2026-10-25 from 03:00 back to 02:00.
@pytest.mark.parametrize(
    ("quiet", "utc", "is_quiet"),
    [
        # Put forward: the night is an hour shorter, and ends when the wall says so.
        (("22:00", "06:00"), "2026-03-29T03:59", True),
        (("22:00", "06:00"), "2026-03-29T04:00", False),
        (("22:00", "06:00"), "2026-03-28T05:00", False),
        # The hour that the wall never shows is quiet for nobody.
        (("02:00", "03:00"), "2026-03-29T00:59:59", False),
        (("02:00", "03:00"), "2026-03-29T01:00:00", False),
        # Put back: the hour that the wall shows twice is quiet twice.
        (("02:00", "03:00"), "2026-10-25T00:00", True),
        (("02:00", "03:00"), "2026-10-25T01:59:59", True),
        (("02:00", "03:00"), "2026-10-25T02:00", False),
        (("22:00", "06:00"), "2026-10-25T04:59", True),
        (("22:00", "06:00"), "2026-10-25T05:00", False),
    ],
)
def test_where_the_clock_is_changed_the_wall_decides(quiet: tuple[str, str], utc: str, is_quiet: bool) -> None:
    assert QuietHours(*quiet, "Europe/Berlin").contains(at_ms(utc, "UTC")) is is_quiet


_MINUTES = st.integers(0, 1439)
_MOMENTS = st.integers(0, 4_102_444_800_000)
_ZONES = st.sampled_from(["Asia/Shanghai", "UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"])


def _written(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@given(_MINUTES, _MINUTES, _MOMENTS, _ZONES)
def test_a_moment_is_quiet_in_a_time_or_in_the_rest_of_the_day(start: int, end: int, moment: int, zone: str) -> None:
    if start == end:
        return
    inside = QuietHours(_written(start), _written(end), zone).contains(moment)
    outside = QuietHours(_written(end), _written(start), zone).contains(moment)
    assert inside is not outside


@given(_MINUTES, st.integers(1, 1439), _MOMENTS, _ZONES)
def test_a_moment_is_quiet_while_fewer_minutes_have_passed_than_it_lasts(
    start: int, length: int, moment: int, zone: str
) -> None:
    wall = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)).astimezone(ZoneInfo(zone))
    minutes_since_start = (wall.hour * 60 + wall.minute - start) % 1440
    quiet = QuietHours(_written(start), _written((start + length) % 1440), zone)
    assert quiet.contains(moment) is (minutes_since_start < length)


@given(_MINUTES, st.integers(1, 1439), _MOMENTS)
def test_without_a_change_of_the_clock_each_day_is_the_same(start: int, length: int, moment: int) -> None:
    quiet = QuietHours(_written(start), _written((start + length) % 1440), "UTC")
    assert quiet.contains(moment) is quiet.contains(moment + DAY_MS)


@pytest.mark.parametrize("name", ["Asia/Shanghai", "UTC", "America/Argentina/Buenos_Aires"])
def test_names_of_time_zones(name: str) -> None:
    assert is_time_zone(name)


@pytest.mark.parametrize(
    "name", ["", "Asia", "Asia/", "shanghai", "+08:00", "../../etc/passwd", "/etc/localtime", "localtime", "A\0"]
)
def test_what_is_no_name_of_a_time_zone(name: str) -> None:
    assert not is_time_zone(name)
