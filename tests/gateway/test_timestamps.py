import re
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from gateway.transcoding.faults import FieldFault
from gateway.transcoding.scalars import decode_timestamp, encode_timestamp


@pytest.mark.parametrize(
    ("text", "seconds", "nanos"),
    [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("1970-01-01t00:00:00z", 0, 0),
        ("1969-12-31T23:59:59.5Z", -1, 500_000_000),
        ("2027-01-31T08:30:00.123456789+08:00", 1_801_355_400, 123_456_789),
        ("2027-01-31T00:30:00-00:30", 1_801_357_200, 0),
        ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799, 999_999_999),
    ],
)
def test_timestamps_are_read(text: str, seconds: int, nanos: int) -> None:
    assert decode_timestamp(text) == Timestamp(seconds=seconds, nanos=nanos)


@given(st.datetimes(timezones=st.timezones()))
def test_timestamps_of_any_offset_are_read_as_protobuf_reads_them(moment: Any) -> None:
    text = moment.isoformat()
    if not re.fullmatch(r".*[+-]\d\d:\d\d", text):
        return
    try:
        ours: object = decode_timestamp(text)
    except FieldFault as fault:
        ours = fault
    theirs = Timestamp()
    try:
        theirs.FromJsonString(text)
    except ValueError:
        assert isinstance(ours, FieldFault)
    else:
        assert ours == theirs


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2027-01-31T08:30:00",
        "2027-01-31 08:30:00Z",
        "20270131T083000Z",
        "2027-01-31T08:30Z",
        "2027-01-31T24:00:00Z",
        "2027-01-31T08:30:60Z",
        "2027-01-31T08:30:00.Z",
        "2027-01-31T08:30:00.1234567890Z",
        "2027-01-31T08:30:00+08",
        "2027-01-31T08:30:00+24:00",
        "2027-01-31T08:30:00+08:60",
        "٢٠٢٧-01-31T08:30:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "2027-01-31T08:30:00Z\n",
    ],
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(FieldFault):
        decode_timestamp(text)


def test_timestamp_is_written_with_milliseconds() -> None:
    assert encode_timestamp(Timestamp(seconds=-1, nanos=999_999_999)) == "1969-12-31T23:59:59.999Z"
    assert encode_timestamp(Timestamp()) == "1970-01-01T00:00:00.000Z"
