from __future__ import annotations

import configparser
from urllib.parse import parse_qs, urlsplit

import pytest

from bench.figures import Figure
from bench.peers import jasmin, kannel
from bench.peers.gateway import Gateway
from bench.peers.measure import paths
from bench.peers.receipts import Receipts
from bench.peers.result import Result, Work, figures_of, ratios_to

STATUS = """<?xml version="1.0"?>
<gateway>
	<wdp>
		<sent><total>5</total><queued>0</queued></sent>
	</wdp>
	<sms>
		<received><total>7</total><queued>0</queued></received>
		<sent><total>1234</total><queued>9</queued></sent>
	</sms>
	<dlr>
		<sent><total>3</total></sent>
	</dlr>
</gateway>
"""
SINGLE, BATCH = Work(1000, 16), Work(50_000, 16, recipients=100)


def query(path: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(path).query)


def test_every_phone_is_written_to_once_whatever_a_request_takes() -> None:
    gateway = Gateway(port=1, path=kannel.path, settling=Receipts(kannel.phone_of), pids=())
    asked = list(paths(gateway, Work(messages=250, connections=4, recipients=100)))
    phones = [query(path)["to"][0].split(" ") for path in asked]
    assert [len(some) for some in phones] == [100, 100, 50]
    assert len({phone for some in phones for phone in some}) == 250


def test_kannel_is_asked_for_final_receipts_where_there_is_one_to_call() -> None:
    asked = query(kannel.path(["8613900000001"], "[brandmesh] Your code is 000001", "http://127.0.0.1:9/%d/%p"))
    assert (asked["dlr-mask"], asked["dlr-url"]) == (["3"], ["http://127.0.0.1:9/%d/%p"])
    assert asked["text"] == ["[brandmesh] Your code is 000001"]
    assert "dlr-url" not in query(kannel.path(["8613900000001"], "text"))


def test_jasmin_is_asked_for_the_phone_s_receipt_alone() -> None:
    asked = query(jasmin.path(["8613900000001"], "text", "http://127.0.0.1:9"))
    assert (asked["dlr-level"], asked["dlr-url"]) == (["2"], ["http://127.0.0.1:9/8613900000001"])


def test_the_messages_that_bearerbox_sent_are_counted_and_nothing_else() -> None:
    assert kannel.sent_total(STATUS) == 1234
    with pytest.raises(ValueError, match="without a total"):
        kannel.sent_total("Denied")


def test_all_parts_of_jasmin_listen_on_loopback_at_ports_of_their_own() -> None:
    ports = jasmin.Ports(http=1, jcli=2, smpp=3, router=4, clients=5, smpp_control=6)
    settings = configparser.RawConfigParser()
    settings.read_string(jasmin.settings(ports, amqp_port=7, redis_port=8))
    listens = {name: section["bind"] for name, section in settings.items() if "port" in section}
    assert set(listens.values()) == {"127.0.0.1"}
    assert settings["smpp-server-pb-client"]["port"] == settings["smpp-server-pb"]["port"] == "6"
    assert settings.getint("amqp-broker", "port") == 7


def result(**rates: float) -> Result:
    return Result(rates, latencies_ms={"accept p99": 4.0}, cost_us=100.0)


def test_figures_hold_one_value_a_run() -> None:
    runs = [{SINGLE: result(settled=10.0)}, {SINGLE: result(settled=20.0)}]
    row = "jasmin, 16 connections"
    assert list(figures_of("jasmin", runs)) == [
        Figure(row, "settled", "messages/s", (10.0, 20.0)),
        Figure(row, "accept p99", "ms", (4.0, 4.0)),
        Figure(row, "cost", "us CPU/message", (100.0, 100.0)),
    ]


def test_ratios_are_taken_run_by_run_and_as_far_as_the_peer_brings_a_message() -> None:
    ours = [{SINGLE: result(settled=30.0), BATCH: result(submitted=80.0, settled=40.0)}] * 2
    theirs = [{SINGLE: result(submitted=s), BATCH: result(submitted=40.0)} for s in (10.0, 60.0)]
    single, batch = ratios_to("kannel-fakesmsc", ours, theirs, "submitted")
    assert (single.what, single.values) == ("settled : submitted", (3.0, 0.5))
    assert (batch.row, batch.what) == ("brandmesh : kannel-fakesmsc, batch of 50,000", "submitted : submitted")
    assert batch.values == (2.0, 2.0)


def test_work_that_a_peer_does_not_take_has_no_ratio() -> None:
    ours = [{SINGLE: result(settled=30.0), BATCH: result(settled=40.0)}]
    assert [one.row for one in ratios_to("jasmin", ours, [{SINGLE: result(settled=10.0)}], "settled")] == [
        "brandmesh : jasmin, 16 connections"
    ]
