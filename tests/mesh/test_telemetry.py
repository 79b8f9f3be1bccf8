import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from mesh import telemetry


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("短信", "短信"),
        (1 << 70, 1 << 70),
        ("\ud800", "\ud800"),
        ({1: "a"}, {"1": "a"}),
        ({"a", "b"}, None),
        (ValueError("x"), "ValueError('x')"),
    ],
)
def test_any_value_can_be_logged(capsys: pytest.CaptureFixture[str], value: object, written: object) -> None:
    telemetry.configure_logging("json", "info", "tests")
    telemetry.logger().info("told", value=value)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["service"], line["level"]) == ("told", "tests", "info")
    assert line["timestamp"].endswith("Z")
    if written is not None:
        assert line["value"] == written
