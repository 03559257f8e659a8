"""Applications behind the controller: Deployments of the echo server with their Services, and what tests do to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from controller.tests.live.objects import Object
from e2e.cluster.provider import Cluster

EXIT_AT_ONCE = ("--exit-at-once",)
DRAIN = ("--drain",)

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True)
class App:
    """One Deployment and the Service of the same name."""

    cluster: Cluster
    namespace: str
    name: str

    def kubectl(self, *args: str, input: str | None = None, timeout: float = 60) -> str:
        return self.cluster.kubectl("--namespace", self.namespace, *args, input=input, timeout=timeout)

    def ready(self, seconds: int = 90) -> App:
        """Wait until every replica is there and ready, and none of an older version is left."""
        self.kubectl(
            "rollout", "status", f"deployment/{self.name}", f"--timeout={seconds}s", timeout=seconds + 10
        )  # fmt: skip
        return self

    def scale(self, replicas: int) -> None:
        self.kubectl("scale", f"deployment/{self.name}", f"--replicas={replicas}")

    def restart(self) -> None:
        """A rolling update: every pod is replaced by one of a new version."""
        self.kubectl("rollout", "restart", f"deployment/{self.name}")

    def pods(self) -> list[Object]:
        """Those that are not on their way out."""
        listed = json.loads(self.kubectl("get", "pods", f"--selector=app={self.name}", "--output=json"))["items"]
        return [pod for pod in listed if "deletionTimestamp" not in pod["metadata"]]

    def addresses(self) -> set[str]:
        return {pod["status"]["podIP"] for pod in self.pods() if "podIP" in pod["status"]}

    def ask(self, *args: str, seconds: float = 30) -> dict[str, Any]:
        """What a client inside one of the pods sees: status, headers, body."""
        command = ("exec", f"deployment/{self.name}", "--", "python", "/app/client.py", *args)
        found: dict[str, Any] = json.loads(self.kubectl(*command, timeout=seconds))
        return found


def deploy(
    cluster: Cluster, namespace: str, name: str, *, replicas: int = 1, args: Sequence[str] = EXIT_AT_ONCE
) -> App:
    """Create the application; it may not run yet."""
    objects = [_deployment(cluster.images.app, name, replicas, args), _service(name)]
    apply(cluster, namespace, *objects)
    return App(cluster, namespace, name)


def apply(cluster: Cluster, namespace: str, *objects: Object) -> None:
    """Create or change objects in this namespace, all in one call."""
    placed = [{**each, "metadata": {**each["metadata"], "namespace": namespace}} for each in objects]
    cluster.kubectl("apply", "--filename=-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": placed}))


def fresh_namespace(cluster: Cluster, name: str, *, enforce: str = "baseline") -> None:
    """Make the namespace, in place of one that an earlier run left. `enforce` is its level of PodSecurity."""
    cluster.kubectl("delete", "namespace", name, "--ignore-not-found", timeout=90)
    labels = {"pod-security.kubernetes.io/enforce": enforce}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.kubectl("create", "--filename=-", input=json.dumps(namespace))


def end_namespace(cluster: Cluster, name: str) -> None:
    """Its routes go at once, so that no reload comes during the next test; the rest in its own time."""
    cluster.kubectl("delete", "ingress", "--all", f"--namespace={name}")
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def delete(cluster: Cluster, namespace: str, *names: str) -> None:
    """`names` are as kubectl takes them, for example `ingress/shop`."""
    cluster.kubectl("delete", "--namespace", namespace, "--ignore-not-found", *names)


def _deployment(image: str, name: str, replicas: int, args: Sequence[str]) -> Object:
    container = {
        "name": "app",
        "image": image,
        "imagePullPolicy": "Never",
        "args": list(args),
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 5},
        "securityContext": RESTRICTED,
    }
    pod = {
        "terminationGracePeriodSeconds": 6,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [container],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }


def _service(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }
