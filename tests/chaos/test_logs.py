"""What a run's log files are read for."""

from __future__ import annotations

from pathlib import Path

from chaos.logs import unexpected_errors

INFO = '{"event": "serving", "level": "info"}'
WARNING = '{"event": "away", "level": "warning"}'
ERROR = '{"event": "handler failed", "level": "error", "exception": "Traceback ...\\nLookupError: no such brand"}'


def test_errors_are_told_once_with_their_cause_and_their_number(tmp_path: Path) -> None:
    (tmp_path / "sms_rmq.log").write_text(f"{INFO}\n{ERROR}\n{WARNING}\n\n{ERROR}\n")
    assert unexpected_errors(tmp_path, ()) == ["sms_rmq: handler failed: LookupError: no such brand (2 times)"]


def test_what_a_scenario_expects_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "sms_rmq.log").write_text(f"{ERROR}\n")
    assert unexpected_errors(tmp_path, {"handler failed"}) == []


def test_a_line_that_is_no_log_line_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "gateway.log").write_text(f'{INFO}\nTask exception was never retrieved\n[1]\n{{"half": "a line\n')
    assert len(unexpected_errors(tmp_path, ())) == 3


def test_the_outside_world_may_say_what_it_likes(tmp_path: Path) -> None:
    (tmp_path / "sandbox.log").write_text("2026-01-01 ERROR a push failed\n")
    assert unexpected_errors(tmp_path, ()) == []
