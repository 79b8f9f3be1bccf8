import asyncio
import html
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest

from sandbox.txim.assets import SCRIPT
from sandbox.txim.page import CARDS_MAX
from tests.sandbox.harness import (
    DEADLINE_SECONDS,
    Json,
    Sandbox,
    custom_message,
    eventually,
    quick_settings,
    rows,
    running_sandbox,
    text_message,
)

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


@dataclass
class Page:
    """An open page: what it was given first, and its events."""

    html: str
    stream: aiohttp.ClientResponse

    async def event(self) -> tuple[str, Json]:
        """Return the id and the data of the next event."""
        lines: list[str] = []
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (line := (await self.stream.content.readline(max_line_length=2**24)).decode()) != "\n":
                assert line, "the stream ended"
                lines.append(line.rstrip("\n"))
        assert [line.partition(": ")[0] for line in lines] == ["id", "data"]
        return lines[0].removeprefix("id: "), json.loads(lines[1].removeprefix("data: "))

    async def ended(self) -> None:
        """Wait for the end of the stream, properly made by the server."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await self.stream.content.read(65_536):
                pass


async def get_page(sandbox: Sandbox, **query: str) -> str:
    async with sandbox.http.get(f"{sandbox.url}/txim", params=query) as response:
        assert (response.status, response.content_type) == (200, "text/html")
        return await response.text()


@asynccontextmanager
async def open_page(sandbox: Sandbox, last_event_id: str = "", **query: str) -> AsyncIterator[Page]:
    shown = await get_page(sandbox, **query)
    [address] = re.findall(r'data-events="([^"]+)"', shown)
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    async with sandbox.http.get(sandbox.url + html.unescape(address), headers=headers) as stream:
        assert (stream.status, stream.content_type) == (200, "text/event-stream")
        yield Page(shown, stream)


def cards_of(shown: str) -> dict[str, str]:
    """The cards of a page by account, as text without tags."""
    found = re.findall(r'<article class="card" data-account="([^"]*)".*?</article>', shown)
    bodies = re.findall(r"(<article.*?</article>)", shown)
    return {html.unescape(account): as_text(body) for account, body in zip(found, bodies, strict=True)}


def as_text(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def facts(**fields: object) -> str:
    return json.dumps({"callId": "77", "event": "catering_ordered", "msgType": "broadcast", **fields})


async def test_the_first_html_has_every_screen_in_its_group(sandbox: Sandbox) -> None:
    nicks = {
        "a": "room pad 802",
        "b": "room pad 1001",
        "c": "Kitchen main",
        "d": "cash desk of shop 1",
        "e": "call screen lobby",
        "f": "technician 17",
        "g": "service desk 2",
        "h": "kitchenette",
        "i": "",
    }
    for account, nick in nicks.items():
        await sandbox.import_accounts(account, nick=nick)
    await sandbox.im("c", **text_message("801房间下单了水饺2份,请注意"), CloudCustomData=facts())

    shown = await get_page(sandbox)

    groups = {
        name: list(cards_of(section)) for name, section in re.findall(r'<section id="([a-z-]+)">(.*?)</section>', shown)
    }
    assert groups == {
        "kitchen": ["c"],
        "call-screen": ["e"],
        "cash-desk": ["d"],
        "room-pad": ["a", "b"],
        "technician": ["f"],
        "service-desk": ["g"],
        "other": ["i", "h"],
    }
    cards = cards_of(shown)
    assert cards["d"].startswith("shop 1 online d")
    assert re.fullmatch(
        r"main online c 801房间下单了水饺2份,请注意 [0-9:]{8} broadcast catering ordered call 77", cards["c"]
    )
    assert "9 devices · 1 message" in shown


async def test_a_screen_shows_its_latest_text_and_what_came_before_and_after(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1", nick="kitchen main")
    for text in ("first", "second"):
        await sandbox.im("k1", **text_message(text))
    refresh = json.dumps({"event": "catering_cancelled", "msgType": "refresh", "params": {"room": "801", "n": 2}})
    await sandbox.txim("openim/sendmsg", custom_message(refresh, To_Account="k1"))

    card = re.sub(r"[0-9:]{8}", "T", cards_of(await get_page(sandbox))["k1"])

    assert card == "main online k1 second T T Refreshed catering cancelled · room 801, n 2 T first"


@pytest.mark.parametrize(
    "data",
    ["", "x", "[]", "null", "[" * 5000, '{"event":{"a":1},"msgType":[7],"params":"x"}', '{"event":true,"params":[1]}'],
)
async def test_any_data_is_tolerated(sandbox: Sandbox, data: str) -> None:
    await sandbox.import_accounts("k1")
    await sandbox.txim("openim/sendmsg", custom_message(data, To_Account="k1"))
    await sandbox.im("k1", **text_message("text"), CloudCustomData=data)

    assert "text" in cards_of(await get_page(sandbox))["k1"]


async def test_a_long_text_is_whole_when_it_is_the_latest_and_short_in_the_history(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1")
    await sandbox.im("k1", **text_message("long" * 1000))
    assert "long" * 1000 in cards_of(await get_page(sandbox))["k1"]

    await sandbox.im("k1", **text_message("next"))

    card = cards_of(await get_page(sandbox))["k1"]
    assert card.endswith("long…")
    assert len(card) < 300


async def test_hostile_words_are_shown_and_are_no_markup(sandbox: Sandbox) -> None:
    account = "\"><b>'&"
    await sandbox.import_accounts(account, nick=f"kitchen {HOSTILE}")
    await sandbox.import_accounts("plain")
    async with open_page(sandbox) as page:
        hostile_facts = json.dumps(
            {"event": HOSTILE, "msgType": HOSTILE, "callId": HOSTILE, "params": {HOSTILE: HOSTILE}}
        )
        await sandbox.im(account, **text_message(HOSTILE), CloudCustomData=hostile_facts)
        await sandbox.txim("openim/sendmsg", custom_message(hostile_facts, To_Account=account))
        await sandbox.txim("openim/sendmsg", custom_message(HOSTILE, To_Account=account))
        live = ""
        while live.count("<li") < 2:
            [card] = [each for each in rows((await page.event())[1]["cards"]) if each["account"] == account]
            live = str(card["html"])
    shown = await get_page(sandbox)
    single = await get_page(sandbox, account=account)

    for markup in (shown, single, live):
        outside_the_assets = re.sub(r"<(style|script)>.*?</\1>", "", markup, flags=re.DOTALL)
        assert not re.search(r"<(script|img|b>'|b>\")", outside_the_assets)
        assert HOSTILE in html.unescape(outside_the_assets)
    assert cards_of(shown)[account] == cards_of(live)[account]
    assert shown.count("<script") == 1


async def test_the_page_runs_its_own_script_alone_and_loads_nothing(sandbox: Sandbox) -> None:
    async with sandbox.http.get(f"{sandbox.url}/txim") as response:
        policy = response.headers["Content-Security-Policy"]
        shown = await response.text()

    assert policy.startswith("default-src 'none';")
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}';", policy)
    assert "unsafe" not in policy
    assert SCRIPT in shown
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//|@import|url\(|style=|\son[a-z]+=""", shown)


async def test_the_front_page_leads_to_the_screens(sandbox: Sandbox) -> None:
    async with sandbox.http.get(f"{sandbox.url}/") as response:
        assert 'href="/txim"' in await response.text()


async def test_a_page_is_told_what_changes(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1", nick="kitchen main")
    async with open_page(sandbox) as page:
        await sandbox.im("k1", **text_message("水饺2份"), CloudCustomData=facts())
        _, update = await page.event()

        assert update["all"] is False
        [card] = rows(update["cards"])
        assert card["account"] == "k1"
        assert "水饺2份" in as_text(str(card["html"]))
        assert (update["texts"], update["spoken"]) == (["main: 水饺2份"], ["水饺2份"])
        assert update["totals"] == "1 device · 1 message"

        await sandbox.im("k1", **text_message("silent"), CloudCustomData=facts(msgType="notification"))
        _, update = await page.event()
        assert (update["texts"], update["spoken"]) == (["main: silent"], [])

        await sandbox.import_accounts("k2", nick="room pad 801")
        _, update = await page.event()
        assert [each["account"] for each in rows(update["cards"])] == ["k2"]

        await sandbox.post("/admin/txim/accounts", {"account": "k2", "state": "Offline"})
        _, update = await page.event()
        assert "offline" in as_text(str(rows(update["cards"])[0]["html"]))

        async with sandbox.http.delete(f"{sandbox.url}/admin/txim/accounts/k2"):
            pass
        _, update = await page.event()
        assert update["cards"] == [{"account": "k2", "html": ""}]


async def test_what_changes_at_once_is_one_event(sandbox: Sandbox) -> None:
    accounts = [f"k{each}" for each in range(100)]
    await sandbox.import_accounts(*accounts)
    async with open_page(sandbox) as page:
        await sandbox.im_batch(accounts)

        _, update = await page.event()

    assert [each["account"] for each in rows(update["cards"])] == accounts
    assert len(rows(update["texts"])) == 5


async def test_a_page_shows_so_many_screens_and_makes_room_for_others(sandbox: Sandbox) -> None:
    accounts = [f"k{each}" for each in range(CARDS_MAX + 1)]
    for start in range(0, CARDS_MAX + 1, 100):
        await sandbox.import_accounts(*accounts[start : start + 100])
    await sandbox.im(accounts[-1])
    async with open_page(sandbox) as page:
        shown = list(cards_of(page.html))
        [left_out] = set(accounts) - set(shown)
        assert left_out != accounts[-1]

        await sandbox.im_batch([left_out, shown[0]])
        assert await changed(page) == [shown[0]]

        async with sandbox.http.delete(f"{sandbox.url}/admin/txim/accounts/{shown[0]}"):
            pass
        assert await changed(page) == [shown[0]]
        await sandbox.im(left_out)
        assert await changed(page) == [left_out]


async def test_a_page_that_comes_back_gets_everything_only_if_it_missed_something(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1", "k2")
    async with open_page(sandbox) as page:
        await sandbox.im("k1")
        version, _ = await page.event()
    async with open_page(sandbox, last_event_id=version) as page:
        await sandbox.im("k2")
        _, update = await page.event()
        assert (update["all"], [each["account"] for each in rows(update["cards"])]) == (False, ["k2"])
    async with open_page(sandbox, last_event_id=version) as page:
        _, update = await page.event()
        assert (update["all"], [each["account"] for each in rows(update["cards"])]) == (True, ["k2", "k1"])
    async with open_page(sandbox, last_event_id="of-another-run") as page:
        _, update = await page.event()
        assert update["all"] is True


async def test_a_page_of_one_screen_shows_that_one(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1", "k2", nick="kitchen")
    async with open_page(sandbox, account="k1") as page:
        assert list(cards_of(page.html)) == ["k1"]

        await sandbox.im("k2")
        await sandbox.im("k1")
        shown: list[object] = []
        while not shown:
            shown = [each["account"] for each in rows((await page.event())[1]["cards"])]

    assert shown == ["k1"]
    assert cards_of(await get_page(sandbox, account="nobody")) == {}


async def test_a_page_that_falls_behind_is_dropped_and_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    async with running_sandbox(quick_settings(txim_page_changes_max=200)) as sandbox:
        accounts = [f"k{each}" for each in range(50)]
        await sandbox.import_accounts(*accounts)
        async with open_page(sandbox) as reading, open_page(sandbox) as slow:
            slow.stream.content._protocol.pause_reading()
            sent = 0
            while (await sandbox.stats("txim"))["pages_dropped"] == 0:
                sent += 1
                assert sent < 1000, "the slow page is still served"
                await sandbox.im_batch(accounts, **text_message(f"{sent}" + "长" * 4000))
                await reading.event()

            assert (await sandbox.stats("txim"))["pages_open"] == 1
            await sandbox.im("k1", **text_message("still live"))
            _, update = await reading.event()
            assert "still live" in str(update["texts"])
        await eventually(lambda: _no_page_is_open(sandbox), "a page that is closed is forgotten")
    assert "Error" not in caplog.text


async def test_only_so_many_pages_are_served_live() -> None:
    async with running_sandbox(quick_settings(txim_pages_max=1)) as sandbox:
        async with open_page(sandbox), sandbox.http.get(f"{sandbox.url}/txim/events") as second:
            assert second.status == 503
        await eventually(lambda: _no_page_is_open(sandbox), "the first is closed")
        async with open_page(sandbox):
            pass


async def test_an_open_page_does_not_hold_up_the_stop(caplog: pytest.LogCaptureFixture) -> None:
    async with running_sandbox(quick_settings(stop_grace_seconds=30.0)) as sandbox, open_page(sandbox) as page:
        async with asyncio.timeout(5):
            await sandbox.stop()
        await page.ended()
    assert "Error" not in caplog.text


async def changed(page: Page) -> list[object]:
    """The accounts whose cards the next event has."""
    return [each["account"] for each in rows((await page.event())[1]["cards"])]


async def _no_page_is_open(sandbox: Sandbox) -> bool:
    return (await sandbox.stats("txim"))["pages_open"] == 0
