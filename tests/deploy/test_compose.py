"""The compose files: valid, complete, and agreeing with what the processes read."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from mesh.settings import ProcessSettings, RpcSettings
from meshctl.queue_exporter import brand_and_kind
from tests.deploy import compose
from tests.deploy.process import MODULES, Process, secrets_of, takers, variables_of

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BASE = (DEPLOY / "compose.yaml",)
WITH_BRANDS = (*BASE, DEPLOY / "compose.brands.yaml")
OWN_BRANDS = {BASE: frozenset[int](), WITH_BRANDS: frozenset({1001})}

SHELL = {
    "DATABASE_PASSWORD": "made0up",
    "CHUANGLAN_WEBHOOK_SECRET": "made-up",
    "USER_TOKEN_KEYS": "first:" + "0" * 64,
}
"""What the page tells a person to export before the demonstration."""

_DURATION = re.compile(r"(\d+)s")


def demonstration() -> dict[str, str]:
    """Read demo.env as compose does, with what the shell gives."""
    lines = [line for line in (DEPLOY / "demo.env").read_text().splitlines() if line and not line.startswith("#")]
    return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)} | SHELL


def processes(files: tuple[Path, ...] = BASE, variables: Mapping[str, str] | None = None) -> dict[str, Process]:
    """Name the processes of the mesh among the services, as a service starts them."""
    shared = yaml.safe_load(BASE[0].read_text())["x-environment"]
    found = {}
    for name, service in compose.services(files, variables or demonstration()).items():
        command = service.get("command", [])
        if command[:2] == ["python", "-m"]:
            own = {
                variable: value for variable, value in service["environment"].items() if shared.get(variable) != value
            }
            of_all = {variable: value for variable, value in service["environment"].items() if variable not in own}
            found[name] = Process(name, command[2], own, of_all, tuple(command[3:]))
    return found


@pytest.fixture(params=[BASE, WITH_BRANDS], ids=["base", "brands"])
def files(request: pytest.FixtureRequest) -> tuple[Path, ...]:
    chosen: tuple[Path, ...] = request.param
    return chosen


def schema_says(path: Path) -> str:
    """Check a file against the compose specification's schema; answer what is wrong, nothing if it is not."""
    answer = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return answer.stdout + answer.stderr if answer.returncode else ""


@pytest.mark.parametrize("path", WITH_BRANDS, ids=lambda path: path.name)
def test_each_file_is_of_the_specifications_schema(path: Path) -> None:
    assert schema_says(path) == ""


def test_the_schema_finds_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(BASE[0].read_text().replace("stop_grace_period:", "stop_grace_periods:"))
    assert "stop_grace_periods" in schema_says(wrong)


def test_every_process_is_there_with_settings_that_it_takes(files: tuple[Path, ...]) -> None:
    found = processes(files)
    assert {process.module for process in found.values()} == MODULES | {"meshctl.queue_exporter"}
    read_by_somebody = set[str]()
    for process in found.values():
        process.settings()
        assert process.environment.keys() <= variables_of(process.module), process.name
        read_by_somebody |= variables_of(process.module)
    assert set(found["gateway"].shared) <= read_by_somebody


def test_nothing_starts_without_what_has_no_default() -> None:
    text = BASE[0].read_text()
    wanted = compose.required(text)
    assert wanted >= SHELL.keys() | {"BRANDMESH_TAG", "PROVIDER_ACCOUNTS", "PAYMENT_SECRET", "TXIM_SECRET_KEY"}
    assert wanted <= demonstration().keys()
    for name in wanted:
        given = {variable: value for variable, value in demonstration().items() if variable != name}
        with pytest.raises(compose.MissingVariableError, match=name):
            compose.services(BASE, given)


def test_no_secret_is_written_down() -> None:
    raw = compose.services(BASE)
    for process in processes().values():
        for variable in secrets_of(process.module) & raw[process.name]["environment"].keys():
            assert compose.required(raw[process.name]["environment"][variable]), f"{process.name}: {variable}"
    assert SHELL.keys().isdisjoint(re.findall(r"^(\w+)=", (DEPLOY / "demo.env").read_text(), re.MULTILINE))
    assert all(f"{name}=$(" in (DEPLOY / "README.md").read_text() for name in SHELL)


def test_health_checks_ask_what_is_served(files: tuple[Path, ...]) -> None:
    found = compose.services(files, demonstration())
    for name, process in processes(files).items():
        *command, url = found[name]["healthcheck"]["test"]
        assert command == ["CMD", "python", "/opt/brandmesh/health.py"]
        settings = process.settings()
        port = str(getattr(settings, "listen", ":")).rpartition(":")[2]
        if isinstance(settings, RpcSettings):
            assert url == f"grpc://127.0.0.1:{port}"
        elif process.module == "gateway":
            assert url == f"http://127.0.0.1:{port}/healthz"
            assert found[name]["ports"] == [f"8080:{port}"]
        elif process.module == "sandbox":
            assert url == f"http://127.0.0.1:{getattr(settings, 'port', 0)}/healthz"
        else:
            assert isinstance(settings, ProcessSettings)
            assert url == f"http://127.0.0.1:{settings.metrics_port}/metrics"
            assert settings.metrics_host == "0.0.0.0"


def test_peers_are_services_of_the_ports_that_they_listen_on() -> None:
    found = processes()
    for variable, address in found["gateway"].shared.items():
        if variable.startswith("BRANDMESH_PEER_"):
            name, _, port = address.partition(":")
            assert found[name].environment["BRANDMESH_LISTEN"] == f"0.0.0.0:{port}"


def test_processes_have_time_to_drain(files: tuple[Path, ...]) -> None:
    found = compose.services(files, demonstration())
    for name, process in processes(files).items():
        grace = _DURATION.fullmatch(found[name]["stop_grace_period"])
        assert grace
        settings = process.settings()
        notice_seconds = getattr(settings, "drain_notice_seconds", 0)
        assert int(grace[1]) >= getattr(settings, "drain_seconds", 0) + notice_seconds + 5


def test_each_queue_is_taken_by_one_kind_of_consumer(files: tuple[Path, ...]) -> None:
    for queue, names in takers(processes(files)).items():
        assert len(names) == 1, f"{queue}: {names}"
        brand, _ = brand_and_kind(queue)
        assert names[0].endswith(f"_{brand}") == (brand in OWN_BRANDS[files])


def test_one_pool_takes_the_receipts_and_it_is_shared(files: tuple[Path, ...]) -> None:
    found = [process for process in processes(files).values() if process.module == "sms_rmq"]
    assert [process.name for process in found if getattr(process.settings(), "receipts", False)] == ["sms_rmq"]


def test_each_service_has_a_database_of_its_own_that_is_made() -> None:
    made = re.findall(r"CREATE DATABASE (\w+);", (DEPLOY / "kubernetes" / "stores" / "databases.sql").read_text())
    urls = [process.environment.get("BRANDMESH_DATABASE_URL", "") for process in processes().values()]
    assert sorted(made) == sorted(url.rpartition("/")[2] for url in urls if url)


def test_prometheus_scrapes_every_process() -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"]
    (discovery,) = job["dns_sd_configs"]
    assert discovery["port"] == 9100
    assert set(discovery["names"]) == processes().keys() - {"sandbox"}


def test_files_that_are_mounted_exist() -> None:
    for config in yaml.safe_load(BASE[0].read_text())["configs"].values():
        assert (DEPLOY / config["file"]).is_file()


def test_the_image_is_built_from_every_package() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    kept = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {path.partition("/")[0] for path in packages["packages"]} <= kept
    copied = re.findall(r"^COPY (?!--from)(?!\. \.)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert {path for paths in copied for path in paths.split()} <= kept
    assert all((ROOT / path).exists() for path in kept)
