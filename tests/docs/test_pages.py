"""The pages under docs/ hold what they claim to hold: nothing missing, nothing stale, no link into nowhere."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from gateway.problems import STATUS_OF_CODE, STATUS_OF_REASON
from gateway.refusals import REASONS
from tools import generate_settings_reference

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "sandbox" / "README.md", *sorted(DOCS.rglob("*.md"))]
PROCESSES = (
    "costcenter_rpc",
    "costcenter_rmq",
    "sms_rpc",
    "sms_rmq",
    "order_rpc",
    "order_rmq",
    "messagecenter_rpc",
    "messagecenter_rmq",
    "txim_rpc",
    "gateway",
)

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LOGGED = re.compile(r"\.(?:warning|error|exception)\(\s*\"([^\"]+)\"")
_FILE = re.compile(r"(?:[a-z_]+/)+[a-z_0-9]+\.(?:py|lua|proto)")
_SOURCES = {".py", ".lua", ".proto"}
_NAME = re.compile(r"_?[A-Za-z]+_*[A-Za-z_]*(?:\.[A-Za-z_]+)?")

FOREIGN_FILES = {"buf/validate/validate.proto", "rocketmq/__init__.py"}
"""Files of other packages that a page names."""

FOREIGN_NAMES = {"CHECK", "_total"}
"""Words in code quotes that are no names of this project."""


def relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Name the headings of a page as GitHub links to them."""
    headings = _HEADING.findall(_FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for target in _LINK.findall(_FENCED.sub("", page.read_text())):
            if "://" not in target:
                yield page, target


@pytest.mark.parametrize(("page", "target"), list(links()), ids=lambda value: str(value).removeprefix(str(ROOT)))
def test_links_lead_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    found = (page.parent / path).resolve() if path else page
    assert found.exists()
    assert not anchor or anchor in anchors(found)


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_files_that_are_named_exist(page: Path) -> None:
    for name in set(_FILE.findall(page.read_text())) - FOREIGN_FILES:
        homes = [ROOT, page.parent, *(ROOT / folder for folder in (*PROCESSES, "sms_rmq/providers"))]
        assert any((home / name).exists() for home in homes), f"{name} does not exist"


@pytest.fixture(scope="module")
def words() -> set[str]:
    """All words of the project's sources and of its metrics."""
    folders = ("mesh", "protos/brandmesh", "meshctl", "sandbox", *PROCESSES)
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.*") if path.suffix in _SOURCES]
    return {word for path in sources for word in re.findall(r"\w+", path.read_text())}


def is_known(quoted: str, words: set[str]) -> bool:
    """Look for a name as the code writes it: settings without their prefix, JSON names in snake case, metrics whole."""
    return all(
        {
            part,
            part.removeprefix("BRANDMESH_").lower(),
            f"{part}_total",
            re.sub(r"([A-Z])", r"_\1", part).lower(),
        }
        & (words | {"py", "md"})
        for part in quoted.split(".")
    )


@pytest.mark.parametrize("name", ["way-of-one-sms.md", "way-of-one-im-call.md", "ledger.md", "runbook.md", "rest.md"])
def test_names_in_code_quotes_are_names_of_the_code(name: str, words: set[str]) -> None:
    quoted = {one for one in _CODE.findall((DOCS / name).read_text()) if _NAME.fullmatch(one)}
    assert {one for one in quoted if not is_known(one, words)} - FOREIGN_NAMES == set()


def test_every_setting_is_told_as_it_is() -> None:
    page = generate_settings_reference.PAGE.read_text()
    assert page == generate_settings_reference.updated(page), "run python tools/generate_settings_reference.py"


def test_every_decision_is_listed() -> None:
    index = (DOCS / "adr" / "README.md").read_text()
    decisions = sorted(path.name for path in (DOCS / "adr").glob("[0-9]*.md"))
    assert decisions
    assert re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", index) == decisions
    for name in decisions:
        assert (DOCS / "adr" / name).read_text().startswith(f"# {name[:4]}: ")


def who_may(security: list[dict[str, list[str]]]) -> str:
    """Write the last two columns of an operation's row."""
    if not security:
        return "open to all |"
    (scope,) = security[0]["apiKey"]
    return f"`{scope}` |" + (" yes" if {"userToken": []} in security else "")


def test_every_rest_operation_is_told_with_who_may_use_it() -> None:
    document = json.loads((DOCS / "openapi.json").read_text())
    wanted = [
        f"| {method.upper()} | `{path}` | {who_may(operation['security'])} |"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    told = (DOCS / "rest.md").read_text().splitlines()
    assert sorted(line for line in told if "| `/v1/" in line) == sorted(wanted)


def test_every_refusal_of_the_gateway_is_told_with_its_status() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `([A-Z_]+)` \|", (DOCS / "rest.md").read_text(), re.MULTILINE)
    told = {reason: int(status) for status, reason in rows}
    assert told == {reason: status for reason, (status, _) in REASONS.items()}


def test_the_status_of_every_grpc_code_is_told() -> None:
    told: dict[str, int] = {}
    for names, status in re.findall(r"^\| ([A-Z_, ]+) \| (\d{3}) \|", (DOCS / "rest.md").read_text(), re.MULTILINE):
        told.update(dict.fromkeys(names.split(", "), int(status)))
    assert told == {code.name: status for code, status in STATUS_OF_CODE.items()}
    for reason, status in STATUS_OF_REASON.items():
        assert re.search(rf"`{reason}` \| {status} \|", (DOCS / "rest.md").read_text())


def test_every_log_line_that_alerts_is_explained() -> None:
    sources = [path for folder in ("mesh", *PROCESSES) for path in (ROOT / folder).rglob("*.py")]
    events = {event for path in sources for event in _LOGGED.findall(path.read_text())}
    assert len(events) >= 30
    assert events - set(_CODE.findall((DOCS / "runbook.md").read_text())) == set()


def test_every_metric_is_explained() -> None:
    for process in PROCESSES:
        importlib.import_module(f"{process}.wiring")
    names = {family.name for family in REGISTRY.collect() if not family.name.startswith(("python_", "process_"))}
    assert "grpc_server_handled" in names
    assert names - set(_CODE.findall((DOCS / "runbook.md").read_text())) == set()
