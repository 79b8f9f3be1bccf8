from __future__ import annotations

import asyncio
from typing import Any

import pytest

from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from messagecenter_rpc import tables
from tests.messagecenter_rpc.harness import BRAND, CONTENT, OTHER_BRAND, SHOP, MessageCenter, refused


def creation(**changes: Any) -> pb.CreateImTemplateRequest:
    fields: dict[str, Any] = {"brand_id": BRAND, "request_id": "one", "name": "ordered", "content": CONTENT} | changes
    return pb.CreateImTemplateRequest(**fields)


async def create(center: MessageCenter, **changes: Any) -> pb.ImTemplate:
    return (await center.peer.call(center.admin.CreateImTemplate, creation(**changes))).template


async def get(center: MessageCenter, template_id: int, brand_id: int = BRAND) -> pb.ImTemplate:
    request = pb.GetImTemplateRequest(brand_id=brand_id, template_id=template_id)
    return (await center.peer.call(center.admin.GetImTemplate, request)).template


async def names(center: MessageCenter, brand_id: int = BRAND, **changes: Any) -> tuple[list[str], str]:
    request = pb.ListImTemplatesRequest(brand_id=brand_id, **changes)
    page = await center.peer.call(center.admin.ListImTemplates, request)
    return [one.name for one in page.templates], page.next_page_token


async def test_a_template_is_made_changed_and_removed(center: MessageCenter) -> None:
    made = await create(center)
    assert (made.name, made.content) == ("ordered", CONTENT)
    assert list(made.parameters) == ["roomName", "goodsName", "num"]
    assert made.create_time == made.update_time
    assert await get(center, made.template_id) == made

    center.clock.pass_seconds(1)
    changed = await center.update_template(made.template_id, "{a} and {{{a}}}", name="other")
    assert (changed.name, changed.content, list(changed.parameters)) == ("other", "{a} and {{{a}}}", ["a"])
    assert changed.create_time == made.create_time
    assert changed.update_time.ToMilliseconds() == center.clock.now_ms
    assert await get(center, made.template_id) == changed
    center.clock.pass_seconds(1)
    assert await center.update_template(made.template_id, "{a} and {{{a}}}", name="other") == changed

    await center.delete_template(made.template_id)
    await center.delete_template(made.template_id)
    with refused("IM_TEMPLATE_NOT_FOUND"):
        await get(center, made.template_id)
    with refused("IM_TEMPLATE_NOT_FOUND"):
        await center.update_template(made.template_id, "x")
    assert await names(center) == ([], "")


async def test_a_repeated_creation_is_answered_as_the_first(center: MessageCenter) -> None:
    made = await create(center)
    assert await create(center) == made
    center.clock.pass_seconds(1)
    await center.update_template(made.template_id, "changed")
    assert await create(center) == made
    await center.delete_template(made.template_id)
    assert await create(center) == made
    with refused("IM_TEMPLATE_NOT_FOUND"):
        await get(center, made.template_id)
    for changes in ({"content": "x"}, {"name": "x"}):
        with refused("KEY_REUSED"):
            await create(center, **changes)
    assert (await create(center, brand_id=OTHER_BRAND)).template_id != made.template_id


async def test_many_creations_at_once_make_one(center: MessageCenter) -> None:
    made = await asyncio.gather(*(create(center) for _ in range(10)))
    assert all(one == made[0] for one in made)
    assert len(await center.rows(tables.template)) == 1


@pytest.mark.parametrize(
    "content", ["{", "}", "{}", "{0}", "{a.b}", "{a!r}", "{a:>3}", "{a b}", "a\tb", "a\0b", "{num}份{"]
)
async def test_a_text_that_is_no_template_is_refused(center: MessageCenter, content: str) -> None:
    with refused("INVALID_REQUEST", "content"):
        await create(center, content=content)
    made = await create(center)
    with refused("INVALID_REQUEST", "content"):
        await center.update_template(made.template_id, content)
    assert (await get(center, made.template_id)).content == CONTENT


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "x" * 65}),
        ("name", {"name": "a\nb"}),
        ("content", {"content": ""}),
        ("content", {"content": "x" * 1001}),
        ("request_id", {"request_id": ""}),
        ("brand_id", {"brand_id": 0}),
    ],
)
async def test_what_a_template_may_not_have(center: MessageCenter, field: str, changes: dict[str, Any]) -> None:
    with refused("INVALID_REQUEST", field):
        await create(center, **changes)
    assert await center.rows(tables.template) == []


async def test_a_text_may_have_lines(center: MessageCenter) -> None:
    assert (await create(center, content="one\n{two}\n")).content == "one\n{two}\n"


async def test_another_brand_sees_and_changes_nothing(center: MessageCenter) -> None:
    made = await create(center)
    with refused("IM_TEMPLATE_NOT_FOUND"):
        await get(center, made.template_id, OTHER_BRAND)
    with refused("IM_TEMPLATE_NOT_FOUND"):
        await center.update_template(made.template_id, "x", brand_id=OTHER_BRAND)
    await center.delete_template(made.template_id, OTHER_BRAND)
    assert await names(center, OTHER_BRAND) == ([], "")
    assert await get(center, made.template_id) == made


async def test_a_template_in_use_is_not_removed_and_the_refusal_says_where(center: MessageCenter) -> None:
    template_id = await center.template()
    await center.configure(template_id=template_id, shop_id=SHOP)
    with refused("IM_TEMPLATE_IN_USE") as caught:
        await center.delete_template(template_id)
    where = {"shop_id": str(SHOP), "event": "CATERING_ORDERED", "channel": "KITCHEN"}
    assert caught.value.metadata == where
    assert not caught.value.is_retryable
    await center.configure(template_id=0, shop_id=SHOP)
    await center.delete_template(template_id)


async def test_of_a_removal_and_a_use_at_once_one_is_refused(center: MessageCenter) -> None:
    for _ in range(10):
        template_id = await center.template()
        outcomes = await asyncio.gather(
            center.delete_template(template_id), center.configure(template_id=template_id), return_exceptions=True
        )
        assert sum(isinstance(outcome, Exception) for outcome in outcomes) == 1
        await center.remove_config()


async def test_templates_are_listed_oldest_first(center: MessageCenter) -> None:
    made = [await create(center, request_id=f"r{number}", name=f"n{number}") for number in range(5)]
    await center.delete_template(made[2].template_id)
    first, token = await names(center, page_size=2)
    second, end = await names(center, page_size=2, page_token=token)
    assert (first, second, end) == (["n0", "n1"], ["n3", "n4"], "")
