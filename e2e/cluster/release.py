"""Helm releases of the chart with the image under test: installed, asked, upgraded, removed.

Guarantees: what a test sees as a `Release` is installed and ready; after the session none is left. Tests that are
content with the same release share it, and only one of those is there at a time, since only one can have the ports 80
and 443 of the node, and the machine is small.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from controller.tests.live.objects import Object
from e2e.cluster.ask import Site, until
from e2e.cluster.provider import Cluster, CommandFailed

CHART = Path(__file__).parents[2] / "charts" / "headrace"
READY_SECONDS = 90


@dataclass(frozen=True)
class Spec:
    """How a release is installed: a values file of `charts/headrace/ci`, and more values as `--set` takes them."""

    exposure: str
    sets: tuple[str, ...] = ()
    name: str = "headrace"

    @property
    def on_host(self) -> bool:
        """Whether pods take ports of the node, which PodSecurity "restricted" forbids."""
        return self.exposure.startswith("host")

    def with_(self, *sets: str, name: str | None = None) -> Spec:
        return Spec(self.exposure, (*self.sets, *sets), name or self.name)


UNDRAINED = ("controller.shutdownGracePeriod=0",)
"""Pods end as soon as they are told to: for tests that do not look at how they end, to be gone sooner."""

HOST_PORT = Spec("hostport", UNDRAINED)
TWO_REPLICAS = Spec("nodeport", ("controller.kind=Deployment", "controller.replicaCount=2"))


@dataclass
class Release:
    """An installed release; its namespace has its name."""

    cluster: Cluster
    spec: Spec
    revision: int = 1
    _services: dict[str, Object] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return self.spec.name

    @property
    def selector(self) -> str:
        return f"app.kubernetes.io/instance={self.spec.name},app.kubernetes.io/component=controller"

    # -- installing

    def install(self, *, wait: bool = True) -> None:
        """Without `wait`, return as soon as Helm has created the objects."""
        self._create_namespace()
        self._helm("install")
        if wait:
            self.ready()

    def upgrade(self, *sets: str) -> None:
        """Change values as a user would, and wait until every pod is of the new revision."""
        self.spec = self.spec.with_(*sets)
        self._helm("upgrade")
        self.ready()

    def uninstall(self) -> None:
        """Return when its ports are free again."""
        self.cluster.helm("uninstall", self.spec.name, "--namespace", self.namespace, "--ignore-not-found")
        # Nobody asks them any more: those that drain need not finish.
        self.kubectl("delete", "pods", f"--selector={self.selector}", "--grace-period=1", "--ignore-not-found")
        # Pods that were killed have not given it back.
        self.kubectl("delete", "leases", "--all")

    def remove(self) -> None:
        """Uninstall it; its namespace goes, too, in its own time."""
        self.uninstall()
        self.cluster.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false")

    def ready(self) -> None:
        """Wait until all pods are of the present revision and ready. Raises with what they say."""
        try:
            self.kubectl(
                "rollout", "status", self.workload, f"--timeout={READY_SECONDS}s", timeout=READY_SECONDS + 10
            )  # fmt: skip
        except CommandFailed as fault:
            raise AssertionError(f"{fault}\n{self.post_mortem()}") from fault

    def post_mortem(self) -> str:
        """What the pods did, for the message of a failure."""
        described = self.kubectl("describe", "pods", f"--selector={self.selector}")
        return f"{described[-4000:]}\n{self.logs(tail=40)}"

    def _helm(self, verb: str) -> None:
        values = CHART / "ci" / f"{self.spec.exposure}-values.yaml"
        sets = [f"--set={each}" for each in (*image_values(self.cluster), *self.spec.sets)]
        self.cluster.helm(
            verb, self.spec.name, str(CHART), f"--namespace={self.namespace}", f"--values={values}", *sets
        )

    def _create_namespace(self) -> None:
        level = "privileged" if self.spec.on_host else "restricted"
        labels = {"pod-security.kubernetes.io/enforce": level}
        metadata = {"name": self.namespace, "labels": labels}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        phase = ("get", "namespace", self.namespace, "--ignore-not-found", "--output=jsonpath={.status.phase}")
        if self.cluster.kubectl(*phase) == "Terminating":
            self.cluster.kubectl("wait", f"namespace/{self.namespace}", "--for=delete", "--timeout=60s", timeout=70)
        self.cluster.kubectl("apply", "--filename=-", input=json.dumps(namespace))

    # -- what is there

    def kubectl(self, *args: str, input: str | None = None, timeout: float = 60) -> str:
        return self.cluster.kubectl("--namespace", self.namespace, *args, input=input, timeout=timeout)

    @property
    def workload(self) -> str:
        """As kubectl takes it."""
        found = self.kubectl("get", "deployments,daemonsets", f"--selector={self.selector}", "--output=name").split()
        assert len(found) == 1, found
        return found[0]

    def pods(self) -> list[Object]:
        """Those that are not on their way out, oldest first."""
        listed = json.loads(self.kubectl("get", "pods", f"--selector={self.selector}", "--output=json"))["items"]
        alive = [pod for pod in listed if "deletionTimestamp" not in pod["metadata"]]
        return sorted(alive, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def pod_names(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.pods()]

    def logs(self, *, tail: int = -1) -> str:
        """What all pods have logged, access log included."""
        return self.kubectl("logs", f"--selector={self.selector}", f"--tail={tail}", "--prefix", "--ignore-errors")

    @property
    def service(self) -> Object:
        """The Service in front of the controller."""
        listed = json.loads(self.kubectl("get", "services", f"--selector={self.selector}", "--output=json"))["items"]
        named = [each for each in listed if each["metadata"]["name"].endswith("-controller")]
        assert len(named) == 1, [each["metadata"]["name"] for each in listed]
        found: Object = named[0]
        return found

    @property
    def site(self) -> Site:
        """Where this process reaches it: ports of the node, or node ports of the Service."""
        if self.spec.on_host:
            return Site(self.cluster.node_address)
        ports = {port["name"]: port.get("nodePort", 0) for port in self.service["spec"]["ports"]}
        assert all(ports.values()), f"a Service without node ports: {ports}"
        return Site(self.cluster.node_address, ports["http"], ports["https"])

    def metric(self, pod: str, name: str, having: str = "") -> float:
        """Sum of a metric over its labels, in one pod; only of samples with this text in their labels."""
        text = self.kubectl("get", "--raw", f"/api/v1/namespaces/{self.namespace}/pods/{pod}:10254/proxy/metrics")
        lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{")) and having in line]
        return sum(float(line.rpartition(" ")[2]) for line in lines)


def image_values(cluster: Cluster) -> tuple[str, ...]:
    """Values that make the chart take the image under test, which is on every node already."""
    repository, _, tag = cluster.images.headrace.rpartition(":")
    return (
        "controller.image.registry=",
        f"controller.image.image={repository}",
        f"controller.image.tag={tag}",
        "controller.image.digest=",
        "controller.image.pullPolicy=Never",
    )


@contextmanager
def installed(cluster: Cluster, spec: Spec) -> Iterator[Release]:
    """A release of one's own, for as long as the block lasts."""
    release = Release(cluster, spec)
    with ExitStack() as undo:
        undo.callback(release.remove)
        release.install()
        yield release


class Shared:
    """The release that tests share: the present one, if it is as wanted, or another one in its place."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._present: Release | None = None

    def get(self, spec: Spec, *, wait: bool = True) -> Release:
        if self._present is None or self._present.spec != spec:
            self.end()
            started = time.monotonic()
            self._present = Release(self._cluster, spec)
            self._present.install(wait=wait)
            print(f"\n{spec.exposure}: installed in {time.monotonic() - started:.1f} s")
        return self._present

    def end(self, *, remove: bool = False) -> None:
        """No release is there afterwards; with `remove` its namespace is on its way out, too."""
        if self._present is not None:
            (self._present.remove if remove else self._present.uninstall)()
            self._present = None


def serving(release: Release, url: str, seconds: float = 15) -> str:
    """The name of the pod that answers, as soon as one does."""
    site = release.site

    def pod() -> str:
        found = site.pod(url)
        return found if isinstance(found, str) else ""

    return until(pod, seconds, f"{url} is not served")
