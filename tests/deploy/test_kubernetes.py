"""The manifests, as kustomize builds them: valid, complete, and agreeing with what the processes read."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it ships no types
import pytest
import yaml

from mesh.settings import ProcessSettings, RpcSettings
from meshctl.queue_exporter import brand_and_kind
from tests.deploy import kustomize
from tests.deploy.kustomize import Manifest
from tests.deploy.process import MODULES, SAMPLE_QUEUES, Process, secrets_of, takers, variables_of

DEPLOY = Path(__file__).parents[2] / "deploy"
BASE = DEPLOY / "kubernetes" / "base"
EXAMPLE = DEPLOY / "kubernetes" / "overlays" / "example"
KUBERNETES_VERSION = "1.37"
KEDA = "keda.sh/v1alpha1"

OWN_BRANDS = {BASE: frozenset[int](), EXAMPLE: frozenset({1001})}
STORES = {"mariadb", "valkey"}

SECRETS = {
    "redis-url": "redis://valkey:6379/0",
    "payment-channel-url": "https://pay.example",
    "payment-merchant-id": "190000001",
    "payment-secret": "made-up-payment-secret",
    "payment-notify-url": "https://gateway.example/webhooks/payment",
    "user-token-keys": "first:" + "0" * 64,
    "smtp-host": "mail.example",
    "smtp-username": "brandmesh",
    "smtp-password": "made-up",
    "smtp-sender": "brandmesh@mail.example",
    "txim-sdk-app-id": "1400000001",
    "txim-secret-key": "made-up",
    "chuanglan-webhook-secret": "made-up",
    "chuanglan-webhook-receiver": "made-up",
    "chuanglan-webhook-password": "made-up",
    "provider-accounts": '[{"name": "a", "base_url": "https://sms.example", "account": "a", "password": "made-up"}]',
    "database-password": "made-up",
    **{
        f"{service}-database-url": f"mariadb://brandmesh:made-up@mariadb/brandmesh_{service}"
        for service in ("costcenter", "sms", "order", "messagecenter", "txim", "gateway")
    },
}

Build = tuple[Path, list[Manifest]]


@pytest.fixture(scope="module", params=[BASE, EXAMPLE], ids=["base", "example"])
def built(request: pytest.FixtureRequest) -> Build:
    return request.param, kustomize.build(request.param)


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] == kind}


def container_of(deployment: Manifest) -> Any:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container


def own_environment(deployment: Manifest) -> Iterator[tuple[str, str]]:
    """Tell the values that a container would find, with made-up secrets."""
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for entry in container_of(deployment)["env"]:
        source = entry.get("valueFrom", {})
        if "secretKeyRef" in source:
            assert source["secretKeyRef"]["name"] == "brandmesh"
            yield entry["name"], SECRETS[source["secretKeyRef"]["key"]]
        elif "fieldRef" in source:
            label = re.fullmatch(r"metadata\.labels\['(.+)'\]", source["fieldRef"]["fieldPath"])
            assert label
            yield entry["name"], labels[label[1]]
        else:
            yield entry["name"], entry["value"]


def processes(manifests: list[Manifest]) -> dict[str, Process]:
    shared = of_kind(manifests, "ConfigMap")["brandmesh"]["data"]
    found = {}
    for name, deployment in of_kind(manifests, "Deployment").items():
        container = container_of(deployment)
        assert container["envFrom"] == [{"configMapRef": {"name": "brandmesh"}}]
        assert container["command"][:2] == ["python", "-m"]
        arguments = tuple(container.get("args", []))
        found[name] = Process(name, container["command"][2], dict(own_environment(deployment)), shared, arguments)
    return found


def test_each_manifest_is_of_its_schema(built: Build) -> None:
    _, manifests = built
    for manifest in manifests:
        if manifest["apiVersion"] != KEDA:
            kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


def test_the_schemas_find_a_mistake() -> None:
    manifest = of_kind(kustomize.build(BASE), "Deployment")["sms-rpc"]
    container_of(manifest)["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kubectl_builds_the_same(built: Build) -> None:
    directory, manifests = built
    answer = subprocess.run(
        ["kubectl", "kustomize", str(directory)],  # noqa: S607  # whichever kubectl this machine has
        capture_output=True,
        check=True,
        timeout=60,
    )

    def key(manifest: Manifest) -> tuple[str, str]:
        return manifest["kind"], manifest["metadata"]["name"]

    assert sorted(yaml.safe_load_all(answer.stdout), key=key) == sorted(manifests, key=key)


def test_every_process_is_there_with_settings_that_it_takes(built: Build) -> None:
    _, manifests = built
    found = processes(manifests)
    assert {process.module for process in found.values()} == MODULES - {"sandbox"} | {"meshctl.queue_exporter"}
    everyones = set[str]()
    for process in found.values():
        process.settings()
        assert process.environment.keys() <= variables_of(process.module), process.name
        everyones |= variables_of(process.module)
    assert next(iter(found.values())).shared.keys() <= everyones


def test_secrets_are_referred_to_and_not_written_down(built: Build) -> None:
    _, manifests = built
    assert not of_kind(manifests, "Secret")
    used = set()
    for name, deployment in of_kind(manifests, "Deployment").items():
        sources = {entry["name"]: entry.get("valueFrom", {}) for entry in container_of(deployment)["env"]}
        of_secret = {variable for variable, source in sources.items() if "secretKeyRef" in source}
        assert secrets_of(processes(manifests)[name].module) <= of_secret
        used |= {source["secretKeyRef"]["key"] for source in sources.values() if "secretKeyRef" in source}
    assert used == SECRETS.keys() - {"database-password"}
    readme = (DEPLOY / "README.md").read_text()
    assert set(re.findall(r"--from-(?:literal|file)=([a-z-]+)=", readme)) == SECRETS.keys()


def test_probes_and_services_lead_to_ports_that_are_served(built: Build) -> None:
    _, manifests = built
    for name, process in processes(manifests).items():
        container = container_of(of_kind(manifests, "Deployment")[name])
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        settings = process.settings()
        assert isinstance(settings, ProcessSettings)
        assert (settings.metrics_host, settings.metrics_port) == ("0.0.0.0", ports["metrics"])
        probes = [container[kind] for kind in ("startupProbe", "readinessProbe", "livenessProbe") if kind in container]
        assert {"startupProbe", "livenessProbe"} <= container.keys()
        listen = int(getattr(settings, "listen", ":0").rpartition(":")[2])
        if isinstance(settings, RpcSettings):
            assert ports["grpc"] == listen
            assert [probe["grpc"]["port"] for probe in probes] == [listen] * 3
        elif process.module == "gateway":
            assert ports["http"] == listen
            paths = [(probe["httpGet"]["path"], probe["httpGet"]["port"]) for probe in probes]
            assert paths == [("/healthz", "http"), ("/readyz", "http"), ("/healthz", "http")]
        else:
            assert {(probe["httpGet"]["path"], probe["httpGet"]["port"]) for probe in probes} == {
                ("/metrics", "metrics")
            }


def test_peers_are_services_of_the_ports_that_they_listen_on(built: Build) -> None:
    _, manifests = built
    services = of_kind(manifests, "Service")
    found = processes(manifests)
    for variable, address in found["gateway"].shared.items():
        if variable.startswith("BRANDMESH_PEER_"):
            peer = re.fullmatch(r"dns:///([a-z-]+):(\d+)", address)
            assert peer
            (port,) = services[peer[1]]["spec"]["ports"]
            assert port["port"] == int(peer[2])
            assert services[peer[1]]["spec"]["selector"] == {"app.kubernetes.io/name": peer[1]}
            assert found[peer[1]].environment["BRANDMESH_LISTEN"] == f"0.0.0.0:{port['port']}"


def test_pods_have_time_to_drain_and_no_rights(built: Build) -> None:
    _, manifests = built
    for name, process in processes(manifests).items():
        pod = of_kind(manifests, "Deployment")[name]["spec"]["template"]["spec"]
        settings = process.settings()
        assert isinstance(settings, ProcessSettings)
        notice_seconds = getattr(settings, "drain_notice_seconds", 0)
        assert pod["terminationGracePeriodSeconds"] >= settings.drain_seconds + notice_seconds + 5
        assert pod["securityContext"]["runAsNonRoot"]
        assert container_of(of_kind(manifests, "Deployment")[name])["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_every_process_has_a_disruption_budget_and_a_scaler_of_its_own(built: Build) -> None:
    _, manifests = built
    deployments = of_kind(manifests, "Deployment")
    budgets = of_kind(manifests, "PodDisruptionBudget")
    assert budgets.keys() == deployments.keys() - {"queue-exporter"}
    for name, budget in budgets.items():
        assert budget["spec"]["selector"] == deployments[name]["spec"]["selector"]
    scalers = {**of_kind(manifests, "ScaledObject"), **of_kind(manifests, "HorizontalPodAutoscaler")}
    assert scalers.keys() == deployments.keys() - {"queue-exporter", "txim-rpc"}
    for name, scaler in scalers.items():
        assert scaler["spec"]["scaleTargetRef"]["name"] == name
        assert "replicas" not in deployments[name]["spec"]
    for alone in ("txim-rpc", "queue-exporter"):
        assert deployments[alone]["spec"]["replicas"] == 1
        assert deployments[alone]["spec"]["strategy"] == {"type": "Recreate"}


def test_scaled_objects_have_the_form_that_keda_takes(built: Build) -> None:
    """Own checks of what the manifests use: the schema of KEDA's kinds is in no package for every Python we run on."""
    _, manifests = built
    for scaler in of_kind(manifests, "ScaledObject").values():
        assert scaler["apiVersion"] == KEDA
        spec = scaler["spec"]
        assert spec.keys() == {
            "scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod", "triggers",
        }  # fmt: skip
        assert 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
        depth, age = spec["triggers"]
        assert depth.keys() == {"type", "metadata"}
        assert age.keys() == {"type", "metadata", "metricType"}
        assert age["metricType"] == "Value"
        for trigger in (depth, age):
            assert trigger["type"] == "prometheus"
            assert trigger["metadata"].keys() == {"serverAddress", "query", "threshold", "ignoreNullValues"}
            assert all(isinstance(value, str) for value in trigger["metadata"].values())
            assert float(trigger["metadata"]["threshold"]) > 0


MESSAGE_QUEUES = {"message.order.cancelled.goods", "message.sms_package.paid.costcenter"}
"""Some of those on which services of orders hear of each other."""


def selected(query: str, own_brands: frozenset[int]) -> set[str]:
    """Name the sample queues whose series a query is about, by the labels of the queue exporter."""
    matchers = re.findall(r'(\w+)(=~?)"([^"]*)"', query)
    assert matchers

    def is_selected(queue: str) -> bool:
        brand, kind = brand_and_kind(queue)
        labels = {"kind": kind, "brand": str(brand or ""), "consumers": "own" if brand in own_brands else "shared"}
        return all(
            re.fullmatch(value, labels[label]) is not None if operator == "=~" else labels[label] == value
            for label, operator, value in matchers
        )

    return {queue for queue in (*SAMPLE_QUEUES, "costcenter.release", *MESSAGE_QUEUES) if is_selected(queue)}


def test_each_consumer_is_scaled_by_the_queues_that_it_takes(built: Build) -> None:
    directory, manifests = built
    for name, scaler in of_kind(manifests, "ScaledObject").items():
        process = processes(manifests)[name]
        taken = process.takes()
        depth, age = (trigger["metadata"]["query"] for trigger in scaler["spec"]["triggers"])
        assert depth.startswith("sum(brandmesh_queue_ready{")
        assert age.startswith("max(brandmesh_queue_oldest_age_seconds{")
        wanted = taken or {"costcenter_rmq": {"costcenter.release"}, "order_rmq": MESSAGE_QUEUES}[process.module]
        assert selected(depth, OWN_BRANDS[directory]) == selected(age, OWN_BRANDS[directory]) == wanted


def test_each_queue_is_taken_by_one_kind_of_consumer(built: Build) -> None:
    directory, manifests = built
    for queue, names in takers(processes(manifests)).items():
        assert len(names) == 1, f"{queue}: {names}"
        brand, _ = brand_and_kind(queue)
        assert names[0].endswith(f"-{brand}") == (brand in OWN_BRANDS[directory])


def test_one_pool_takes_the_receipts_and_it_is_shared(built: Build) -> None:
    _, manifests = built
    takers = [
        name
        for name, process in processes(manifests).items()
        if process.module == "sms_rmq" and getattr(process.settings(), "receipts", False)
    ]
    assert takers == ["sms-rmq"]


def test_the_example_brings_the_stores_that_its_databases_are_in() -> None:
    manifests = kustomize.build(EXAMPLE)
    assert of_kind(manifests, "StatefulSet").keys() == STORES
    assert of_kind(manifests, "Service").keys() >= STORES
    made = re.findall(r"CREATE DATABASE (\w+);", of_kind(manifests, "ConfigMap")["databases"]["data"]["databases.sql"])
    urls = [process.environment.get("BRANDMESH_DATABASE_URL", "") for process in processes(manifests).values()]
    assert sorted(made) == sorted({url.rpartition("/")[2] for url in urls if url})


def test_the_database_takes_the_connections_of_all_pods_together() -> None:
    manifests = kustomize.build(EXAMPLE)
    (option,) = container_of(of_kind(manifests, "StatefulSet")["mariadb"])["args"]
    scalers = of_kind(manifests, "HorizontalPodAutoscaler")
    connections = {
        name: getattr(process.settings(), "database_pool_size", 0) * pods_max(name, scalers)
        for name, process in processes(manifests).items()
        if "BRANDMESH_DATABASE_URL" in process.environment
    }
    assert sum(connections.values()) == 392  # as docs/scaling.md reckons
    assert int(option.removeprefix("--max-connections=")) >= 1.2 * sum(connections.values())


def pods_max(name: str, scalers: dict[str, Manifest]) -> int:
    return int(scalers[name]["spec"]["maxReplicas"]) if name in scalers else 1
