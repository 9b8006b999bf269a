#!/usr/bin/env python3
"""Checks kustomizations without a cluster: `check-kubernetes.py KUBECTL FOLDER...`.

It builds each folder, validates each resource against the schemas of Kubernetes, and checks that
the resources fit together. It prints each fault, and fails if there is one.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parent.parent
# The oldest version that docs/operations/deploy.md names, and the newest with a schema here.
VERSIONS = ("1.30", "1.37")
SECRETS = {"STREAMER_API_KEY", "STREAMER_SECRET_KEY"}
# The schemas take any word for these fields. The API server does not.
WORDS = {
    "accessModes": {"ReadWriteOnce", "ReadWriteOncePod", "ReadOnlyMany", "ReadWriteMany"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "policyTypes": {"Ingress", "Egress"},
    "protocol": {"TCP", "UDP", "SCTP"},
    "unhealthyPodEvictionPolicy": {"AlwaysAllow", "IfHealthyBudget"},
    "whenUnsatisfiable": {"DoNotSchedule", "ScheduleAnyway"},
}
# The rest of the repository that the resources have to agree with.
ROUTES = set(json.loads((ROOT / "spec/openapi.json").read_text())["paths"])
DEPLOYMENT = (ROOT / "docs/operations/deploy.md").read_text()
ENV_EXAMPLE = (ROOT / ".env.example").read_text()
DEFAULTS = dict(re.findall(r"^#(STREAMER_[A-Z_]+)=(.*)$", ENV_EXAMPLE, re.M))
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IMAGE_PORT = int(re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.M)[-1])
IMAGE_USER = int(re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.M)[-1])

def listed_files(folder):
    """Faults of the list of files in a kustomization, and of those of the bases that it names."""
    text = yaml.safe_load((folder / "kustomization.yaml").read_text())
    listed = set(text.get("resources", []))
    for generator in text.get("configMapGenerator", []) + text.get("secretGenerator", []):
        listed |= set(generator.get("envs", []))
        listed |= {name.split("=")[-1] for name in generator.get("files", [])}
    listed |= {patch["path"] for patch in text.get("patches", []) if "path" in patch}
    for name in listed:
        if (folder / name).is_dir():
            yield from listed_files(folder / name)
        elif not (folder / name).is_file():
            yield f"{name} is listed, and does not exist"
    present = {path.name for path in folder.iterdir() if path.suffix in {".yaml", ".yml", ".env"}}
    for name in sorted(present - listed - {"kustomization.yaml"}):
        yield f"{name} exists, and is not listed"


def invalid(resources):
    """What the schemas refuse. `strict` refuses unknown fields too."""
    for resource in resources:
        yield from (f"{label(resource)}: {fault}" for fault in wrong_words(resource))
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(resource, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                place = ".".join(str(step) for step in error.path)
                yield f"{label(resource)}: Kubernetes {version}: {place}: {error.message}"
            except kubernetes_validate.SchemaNotFoundError:
                yield f"{label(resource)}: Kubernetes {version} has no {resource['apiVersion']}"


def wrong_words(value):
    """Words that the API server does not know, anywhere in a resource."""
    if isinstance(value, list):
        for item in value:
            yield from wrong_words(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            words = item if isinstance(item, list) else [item]
            for word in words if key in WORDS else []:
                yield from expect(word in WORDS[key], f"{key} {word}")
            yield from wrong_words(item)


def label(resource):
    return f"{resource['kind']} {resource['metadata']['name']}"


def expect(condition, fault):
    if not condition:
        yield fault


def selects(selector, labels):
    return bool(selector) and selector.items() <= labels.items()


class Workload:
    """A Deployment or a StatefulSet, and its only container."""

    def __init__(self, resource):
        self.resource = resource
        self.label = label(resource)
        self.spec = resource["spec"]
        self.template = self.spec["template"]
        self.labels = self.template["metadata"]["labels"]
        self.pod = self.template["spec"]
        (self.container,) = self.pod["containers"]
        self.ports = {
            port["name"]: port["containerPort"] for port in self.container.get("ports", [])
        }
        self.is_broker = self.container["image"].split("/")[-1].split(":")[0] == "tinistreamer"

    def env_from(self, kind):
        return [
            source[kind]["name"] for source in self.container.get("envFrom", []) if kind in source
        ]

    def probes(self):
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            if name in self.container:
                yield name, self.container[name]

    def faults(self):
        """What is wrong with the workload alone."""
        yield from expect(
            selects(self.spec["selector"]["matchLabels"], self.labels),
            "its selector does not select its own pods",
        )
        for constraint in self.pod.get("topologySpreadConstraints", []):
            yield from expect(
                selects(constraint["labelSelector"]["matchLabels"], self.labels),
                f"{constraint['topologyKey']}: the selector does not select its own pods",
            )
        yield from self.rights()
        for name in ("livenessProbe", "readinessProbe"):
            yield from expect(name in self.container, f"no {name}")
        for name, probe in self.probes():
            request = probe.get("httpGet") or probe.get("tcpSocket") or {}
            if "port" in request:
                yield from expect(
                    request["port"] in self.ports, f"{name}: no port {request['port']}"
                )
            if self.is_broker:
                yield from expect(
                    request.get("path") in ROUTES, f"{name}: no route {request.get('path')}"
                )
        mounts = {mount["name"] for mount in self.container.get("volumeMounts", [])}
        volumes = {volume["name"] for volume in self.pod.get("volumes", [])}
        volumes |= {
            claim["metadata"]["name"] for claim in self.spec.get("volumeClaimTemplates", [])
        }
        yield from expect(
            mounts == volumes, f"mounts {sorted(mounts)}, has the volumes {sorted(volumes)}"
        )
        resources = self.container.get("resources", {})
        for path in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
            yield from expect(
                resources.get(path[0], {}).get(path[1]), f"no resources.{'.'.join(path)}"
            )

    def rights(self):
        """What the pod may do beyond its needs: stricter than the Pod Security Standards."""
        pod, container = (
            self.pod.get("securityContext", {}),
            self.container.get("securityContext", {}),
        )
        yield from expect(pod.get("runAsNonRoot") is True, "may run as root")
        yield from expect(pod.get("runAsUser", 0) > 0, "runs as root, or as a user of no number")
        yield from expect(
            pod.get("seccompProfile") == {"type": "RuntimeDefault"}, "has no seccomp profile"
        )
        yield from expect(container.get("allowPrivilegeEscalation") is False, "may gain rights")
        yield from expect(
            container.get("readOnlyRootFilesystem") is True, "may write its file system"
        )
        yield from expect(container.get("capabilities") == {"drop": ["ALL"]}, "has capabilities")
        yield from expect("privileged" not in container, "may be privileged")
        yield from expect(
            self.pod.get("automountServiceAccountToken") is False, "has a token of the API"
        )
        yield from expect(
            self.pod.get("enableServiceLinks") is False, "gets variables with names of Services"
        )
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            yield from expect(name not in self.pod, f"has {name}")


def broker_faults(broker, config_maps, services, policies):
    """What is wrong with the broker's settings, and with what depends on them."""
    settings = {}
    for name in broker.env_from("configMapRef"):
        yield from expect(name in config_maps, f"no ConfigMap {name}")
        settings |= config_maps.get(name, {})
    yield from expect(
        settings.keys() <= DEFAULTS.keys(),
        f"no settings: {sorted(settings.keys() - DEFAULTS.keys())}",
    )
    yield from expect(not SECRETS & settings.keys(), "a key is in a ConfigMap")
    secrets = broker.env_from("secretRef")
    yield from expect(len(secrets) == 1, f"{len(secrets)} Secrets, and not one")
    for name in secrets:
        command = rf"create secret generic {re.escape(name)}\s"
        is_made = re.search(command, DEPLOYMENT)
        yield from expect(is_made, f"docs/operations/deploy.md makes no Secret {name}")
    sources = [next(iter(source)) for source in broker.container.get("envFrom", [])]
    yield from expect(
        sources[-1:] == ["secretRef"], "the Secret is not the last source of settings, which wins"
    )
    yield from expect(settings.get("STREAMER_DELIVERY") == "shared", "delivery is not shared")
    yield from expect(
        broker.pod["securityContext"].get("runAsUser") == IMAGE_USER,
        f"not the image's user {IMAGE_USER}",
    )
    probes = {
        name: probe["httpGet"]["path"] for name, probe in broker.probes() if "httpGet" in probe
    }
    yield from expect(
        probes.get("livenessProbe") == "/api/health", "liveness depends on more than the process"
    )
    yield from expect(
        probes.get("readinessProbe") == "/api/ready", "readiness does not ask for the store"
    )

    metrics = settings.get("STREAMER_METRICS", DEFAULTS["STREAMER_METRICS"]).rpartition(":")[2]
    yield from expect(
        broker.ports.get("http") == IMAGE_PORT, f"port http is not the image's {IMAGE_PORT}"
    )
    yield from expect(
        str(broker.ports.get("metrics")) == metrics,
        f"port metrics is not that of STREAMER_METRICS, {metrics}",
    )
    annotations = broker.template["metadata"].get("annotations", {})
    yield from expect(
        annotations.get("prometheus.io/port") == metrics, f"prometheus.io/port is not {metrics}"
    )

    hook = (
        broker.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    )
    grace = int(settings.get("STREAMER_SHUTDOWN_GRACE", DEFAULTS["STREAMER_SHUTDOWN_GRACE"]))
    timeout = broker.pod.get("terminationGracePeriodSeconds", 30)
    yield from expect(hook > 0, "no preStop hook that waits for the proxies")
    yield from expect(
        timeout > hook + grace, f"killed after {timeout} s, but stops in {hook} + {grace} s"
    )

    url = re.fullmatch(r"redis://([^:@/]+):(\d+)", settings.get("STREAMER_REDIS_URL", ""))
    if url:
        host, port = url[1], int(url[2])
        ports = [entry["port"] for entry in services.get(host, {}).get("ports", [])]
        yield from expect(
            port in ports, f"STREAMER_REDIS_URL: no Service {host} with the port {port}"
        )
    else:
        yield from expect(
            "STREAMER_REDIS_URL" not in settings,
            "STREAMER_REDIS_URL may have a password: put it in the Secret",
        )
        port = 6379
    open_ports = {
        entry["port"]
        for policy in policies
        if selects(policy["podSelector"].get("matchLabels"), broker.labels)
        for rule in policy.get("egress", [])
        for entry in rule.get("ports", [])
    }
    yield from expect(
        {53, port} <= open_ports, f"its NetworkPolicy does not let it reach the ports 53 and {port}"
    )


def misfits(resources):
    """What does not fit together in the resources of one build."""
    by_kind = {}
    for resource in resources:
        named = by_kind.setdefault(resource["kind"], {})
        name = resource["metadata"]["name"]
        yield from expect(name not in named, f"{label(resource)}: twice")
        named[name] = resource
    specs = {
        kind: {name: resource.get("spec", {}) for name, resource in named.items()}
        for kind, named in by_kind.items()
    }
    services, policies = specs.get("Service", {}), specs.get("NetworkPolicy", {})
    config_maps = {
        name: resource.get("data", {}) for name, resource in by_kind.get("ConfigMap", {}).items()
    }
    workloads = [
        Workload(resource)
        for kind in ("Deployment", "StatefulSet")
        for resource in by_kind.get(kind, {}).values()
    ]

    def selected(selector):
        return [workload for workload in workloads if selects(selector, workload.labels)]

    yield from expect(any(workload.is_broker for workload in workloads), "no broker")
    for kind in ("Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy"):
        yield from expect("tinistreamer" in specs.get(kind, {}), f"no {kind} tinistreamer")

    for workload in workloads:
        faults = list(workload.faults())
        if workload.is_broker:
            faults += broker_faults(workload, config_maps, services, policies.values())
        headless = workload.spec.get("serviceName")
        faults += expect(headless is None or headless in services, f"no Service {headless}")
        admitted = {
            entry["port"]
            for policy in policies.values()
            if selects(policy["podSelector"].get("matchLabels"), workload.labels)
            for rule in policy.get("ingress", [])
            for entry in rule.get("ports", [])
        }
        ports = set(workload.ports.values())
        faults += expect(
            admitted == ports,
            f"its NetworkPolicy admits {sorted(admitted)}, its ports are {sorted(ports)}",
        )
        yield from (f"{workload.label}: {fault}" for fault in faults)

    for name, service in services.items():
        chosen = selected(service.get("selector"))
        yield from expect(len(chosen) == 1, f"Service {name}: selects {len(chosen)} workloads")
        for workload in chosen:
            for port in service["ports"]:
                target = port.get("targetPort")
                yield from expect(
                    target in workload.ports,
                    f"Service {name}: {workload.label} has no port {target}",
                )
                yield from expect(target != "metrics", f"Service {name}: publishes the metrics")

    for name, budget in specs.get("PodDisruptionBudget", {}).items():
        yield from expect(
            len(selected(budget["selector"]["matchLabels"])) == 1,
            f"PodDisruptionBudget {name}: selects no workload",
        )

    for name, scaler in specs.get("HorizontalPodAutoscaler", {}).items():
        target = scaler["scaleTargetRef"]
        scaled = specs.get(target["kind"], {}).get(target["name"])
        yield from expect(
            scaled is not None,
            f"HorizontalPodAutoscaler {name}: no {target['kind']} {target['name']}",
        )
        yield from expect(
            "replicas" not in (scaled or {}),
            f"HorizontalPodAutoscaler {name}: its target has `replicas`",
        )
        few, many = scaler.get("minReplicas", 1), scaler["maxReplicas"]
        yield from expect(
            2 <= few <= many, f"HorizontalPodAutoscaler {name}: from {few} to {many} replicas"
        )

    for name, policy in policies.items():
        chosen = selected(policy["podSelector"].get("matchLabels"))
        yield from expect(
            len(chosen) == 1, f"NetworkPolicy {name}: selects {len(chosen)} workloads"
        )
        yield from expect(
            {"Ingress", "Egress"} == set(policy.get("policyTypes", [])),
            f"NetworkPolicy {name}: half open",
        )
        peers = [peer for rule in policy.get("ingress", []) for peer in rule.get("from", [])]
        for peer in peers:
            if "podSelector" in peer and "namespaceSelector" not in peer:
                labels = peer["podSelector"].get("matchLabels")
                yield from expect(selected(labels), f"NetworkPolicy {name}: no pods have {labels}")


def check(kubectl, folder):
    """All faults of a kustomization."""
    if not (folder / "kustomization.yaml").is_file():
        return ["no kustomization.yaml"]
    faults = list(listed_files(folder))
    if faults:
        return faults
    build = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True)
    if build.returncode:
        return [build.stderr.strip()]
    # Kustomize goes on after a warning, for example about a field that it will drop.
    faults = [line for line in build.stderr.splitlines() if line]
    resources = [resource for resource in yaml.safe_load_all(build.stdout) if resource]
    faults += invalid(resources)
    # The rest relies on the shape that the schemas ask for.
    return faults or list(misfits(resources))


def main():
    kubectl, *folders = sys.argv[1:]
    faults = [f"{folder}: {fault}" for folder in folders for fault in check(kubectl, Path(folder))]
    if not folders:
        faults = ["no folder given"]
    if faults:
        raise SystemExit("\n".join(faults))


if __name__ == "__main__":
    main()
