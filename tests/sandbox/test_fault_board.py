import pytest

from tests.sandbox.harness import (
    OTHER_ACCOUNT,
    Sandbox,
    credentials,
    quick_settings,
    rows,
    running_sandbox,
)


async def test_count_bounds_how_often_a_fault_strikes(sandbox: Sandbox) -> None:
    await sandbox.fault("answer_code", code="103", count=2)

    assert [(await sandbox.send())["code"] for _ in range(4)] == ["103", "103", "0", "0"]
    [shown] = rows((await sandbox.get("/admin/faults"))["faults"])
    assert (shown["kind"], shown["hits"], shown["count"]) == ("answer_code", 2, 2)


async def test_a_fault_can_be_limited_to_an_account(sandbox: Sandbox) -> None:
    await sandbox.fault("answer_code", code="104", account=OTHER_ACCOUNT)

    assert (await sandbox.send())["code"] == "0"
    assert (await sandbox.send(account=OTHER_ACCOUNT))["code"] == "104"


async def test_a_fault_can_be_limited_to_operations(sandbox: Sandbox) -> None:
    await sandbox.fault("answer_code", code="104", operations=["pull_report", "balance"])

    assert (await sandbox.send())["code"] == "0"
    assert (await sandbox.post("/msg/balance/json", credentials()))["code"] == "104"
    assert (await sandbox.post("/msg/pull/report", credentials()))["ret"] == 1


async def test_probability_is_replayed_from_the_seed() -> None:
    async def codes(seed: int) -> list[object]:
        async with running_sandbox(quick_settings(seed=seed)) as sandbox:
            await sandbox.fault("answer_code", code="103", probability=0.5)
            first = [(await sandbox.send())["code"] for _ in range(40)]
            await sandbox.post("/admin/reset", {})
            await sandbox.fault("answer_code", code="103", probability=0.5)
            assert [(await sandbox.send())["code"] for _ in range(40)] == first
            return first

    of_seed_7 = await codes(7)
    assert set(of_seed_7) == {"0", "103"}
    assert await codes(7) == of_seed_7
    assert await codes(8) != of_seed_7


async def test_reset_and_remove_switch_faults_off(sandbox: Sandbox) -> None:
    first = await sandbox.fault("answer_code", code="103")
    await sandbox.fault("answer_code", code="104")
    assert (await sandbox.send())["code"] == "103"

    async with sandbox.http.delete(f"{sandbox.url}/admin/faults/{first}") as response:
        assert response.status == 200
    assert (await sandbox.send())["code"] == "104"
    async with sandbox.http.delete(f"{sandbox.url}/admin/faults/{first}") as response:
        assert response.status == 404

    await sandbox.post("/admin/reset", {})
    assert (await sandbox.send())["code"] == "0"
    assert (await sandbox.get("/admin/faults"))["faults"] == []


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("kind", {"kind": "no_such_fault"}),
        ("kind", {}),
        ("code", {"kind": "answer_code"}),
        ("code", {"kind": "answer_code", "code": "0"}),
        ("probability", {"kind": "hang", "probability": 0}),
        ("probability", {"kind": "hang", "probability": 1.1}),
        ("count", {"kind": "hang", "count": 0}),
        ("operations", {"kind": "hang", "operations": ["fly"]}),
        ("colour", {"kind": "hang", "colour": "red"}),
        ("statuses", {"kind": "fail_receipt", "statuses": {"UNDELIV": 0}}),
        ("object", []),
    ],
)
async def test_a_wrong_fault_is_refused_by_name(sandbox: Sandbox, field: str, body: object) -> None:
    status, answer = await sandbox.post_status("/admin/faults", body)

    assert status == 400
    assert field in str(answer["error"])


async def test_only_so_many_faults_can_be_on(sandbox: Sandbox) -> None:
    for _ in range(100):
        await sandbox.fault("integer_code")

    status, answer = await sandbox.post_status("/admin/faults", {"kind": "integer_code"})

    assert status == 400
    assert "100" in str(answer["error"])
