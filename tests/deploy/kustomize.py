"""Builds a kustomization as `kubectl kustomize` does, as far as deploy/ uses it; refuses what it does not know.

`test_kubernetes.py` compares it with the real one where that is installed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

_KNOWN = {
    "apiVersion", "kind", "resources", "configMapGenerator", "generatorOptions", "components", "patches", "namespace",
    "nameSuffix", "labels", "images", "configurations",
}  # fmt: skip
_WORKLOADS = {"Deployment", "StatefulSet"}


def build(directory: Path) -> list[Manifest]:
    """Build the kustomization in a directory."""
    return _built(directory, [], {})


def _built(directory: Path, manifests: list[Manifest], references: dict[str, str]) -> list[Manifest]:
    """Add a kustomization's own to `manifests`, and change them all as it says. A Component gets those of its user."""
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text())
    unknown = kustomization.keys() - _KNOWN
    assert not unknown, f"{directory}: {unknown}"
    for path in kustomization.get("configurations", []):
        for entry in yaml.safe_load((directory / path).read_text())["nameReference"]:
            assert entry["kind"] == "Deployment"
            references.update({one["kind"]: one["path"] for one in entry["fieldSpecs"]})
    for name in kustomization.get("resources", []):
        manifests = [*manifests, *_resource(directory / name, references)]
    manifests = [*manifests, *(_config_map(directory, one) for one in kustomization.get("configMapGenerator", []))]
    for name in kustomization.get("components", []):
        manifests = _built(directory / name, manifests, references)
    _transform(kustomization, manifests, references)
    return manifests


def _resource(path: Path, references: dict[str, str]) -> list[Manifest]:
    if path.is_dir():
        return _built(path, [], references)
    return [manifest for manifest in yaml.safe_load_all(path.read_text()) if manifest]


def _config_map(directory: Path, generator: Manifest) -> Manifest:
    data = {name: (directory / name).read_text() for name in generator["files"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}


def _transform(kustomization: Manifest, manifests: list[Manifest], references: dict[str, str]) -> None:
    for patch in kustomization.get("patches", []):
        for manifest in filter(_targeted(patch["target"]), manifests):
            for operation in yaml.safe_load(patch["patch"]):
                _apply(manifest, operation)
    for manifest in manifests:
        if "namespace" in kustomization:
            manifest["metadata"]["namespace"] = kustomization["namespace"]
        manifest["metadata"]["name"] += kustomization.get("nameSuffix", "")
        if manifest["kind"] in references:
            *path, last = references[manifest["kind"]].split("/")
            _at(manifest, path)[last] += kustomization.get("nameSuffix", "")
        for labels in kustomization.get("labels", []):
            _label(manifest, labels)
        for image in kustomization.get("images", []):
            _tag(manifest, image)


def _targeted(target: dict[str, str]) -> Callable[[Manifest], bool]:
    assert target.keys() <= {"kind", "name", "labelSelector"}
    key, _, value = target.get("labelSelector", "").partition("=")

    def check(manifest: Manifest) -> bool:
        return (
            manifest["kind"] == target["kind"]
            and manifest["metadata"]["name"] == target.get("name", manifest["metadata"]["name"])
            and (not key or manifest["metadata"].get("labels", {}).get(key) == value)
        )

    return check


def _apply(manifest: Manifest, operation: Manifest) -> None:
    """Apply one operation of a JSON patch (RFC 6902)."""
    *path, last = [part.replace("~1", "/") for part in operation["path"].strip("/").split("/")]
    parent = _at(manifest, path)
    value = copy.deepcopy(operation["value"])
    if last == "-":
        parent.append(value)
    elif operation["op"] == "add":
        parent[last] = value
    else:
        assert operation["op"] == "replace"
        assert last in parent, f"{operation['path']} is not there"
        parent[last] = value


def _at(manifest: Manifest, path: list[str]) -> Any:
    found: Any = manifest
    for part in path:
        found = found[int(part)] if isinstance(found, list) else found[part]
    return found


def _label(manifest: Manifest, labels: Manifest) -> None:
    pairs = labels["pairs"]
    manifest["metadata"].setdefault("labels", {}).update(pairs)
    is_workload = manifest["kind"] in _WORKLOADS
    if is_workload and (labels.get("includeTemplates") or labels.get("includeSelectors")):
        manifest["spec"]["template"]["metadata"].setdefault("labels", {}).update(pairs)
    if labels.get("includeSelectors"):
        for selector in _selectors(manifest):
            selector.update(pairs)


def _selectors(manifest: Manifest) -> Iterator[dict[str, str]]:
    if manifest["kind"] in _WORKLOADS | {"PodDisruptionBudget"}:
        yield manifest["spec"]["selector"]["matchLabels"]
    if manifest["kind"] in _WORKLOADS:
        for constraint in manifest["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            yield constraint["labelSelector"]["matchLabels"]


def _tag(manifest: Manifest, image: dict[str, str]) -> None:
    if manifest["kind"] in _WORKLOADS:
        for container in manifest["spec"]["template"]["spec"]["containers"]:
            if container["image"] == image["name"]:
                container["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"
