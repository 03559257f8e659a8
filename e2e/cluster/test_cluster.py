"""The cluster under the tests is a real one: what the other tests take for granted about nodes and pods."""

from __future__ import annotations

import json

import pytest

from controller.tests.live.objects import Object
from e2e.cluster.apps import App, apply, deploy
from e2e.cluster.ask import Site, until
from e2e.cluster.provider import Cluster, CommandFailed, LocalCluster

ASK_API_SERVER = """
import os, pathlib, ssl, urllib.request
own = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
url = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}/api/v1/namespaces"
request = urllib.request.Request(url, headers={"Authorization": f"Bearer {(own / 'token').read_text()}"})
try:
    urllib.request.urlopen(request, context=ssl.create_default_context(cafile=own / "ca.crt"), timeout=10)
except urllib.error.HTTPError as refusal:
    print(refusal.code, refusal.read().decode())
"""


def service(name: str, app: str, **spec: object) -> Object:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    metadata = {"name": name}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": {"app": app}, "ports": ports, **spec},
    }


def cluster_ip(app: App, name: str) -> str:
    return app.kubectl("get", "service", name, "--output=jsonpath={.spec.clusterIP}")


@pytest.fixture
def web(cluster: Cluster, namespace: str) -> App:
    return deploy(cluster, namespace, "web").ready()


def test_a_pod_reaches_the_api_server_as_its_own_service_account(cluster: Cluster, namespace: str) -> None:
    words = ("run", "curious", f"--namespace={namespace}", f"--image={cluster.images.app}", "--image-pull-policy=Never")
    cluster.kubectl(*words, "--restart=Never", "--command", "--", "python", "-c", ASK_API_SERVER)
    done = "--for=jsonpath={.status.phase}=Succeeded"
    cluster.kubectl("wait", "pod/curious", f"--namespace={namespace}", done, "--timeout=60s", timeout=70)
    answer = cluster.kubectl("logs", "curious", f"--namespace={namespace}")
    assert answer.startswith("403 ")
    assert f"system:serviceaccount:{namespace}:default" in answer


def test_a_service_answers_at_its_own_address_and_at_the_nodes(cluster: Cluster, namespace: str, web: App) -> None:
    apply(cluster, namespace, service("open", "web", type="NodePort"))
    port = int(web.kubectl("get", "service", "open", "--output=jsonpath={.spec.ports[0].nodePort}"))
    site = Site(cluster.node_address, http=port)
    (pod,) = web.pods()
    assert until(lambda: site.pod("http://any.test/")) == pod["metadata"]["name"]
    answer = web.ask(f"http://{cluster_ip(web, 'open')}/")  # the pod itself, through its Service
    assert answer["status"] == 200


def test_a_host_port_shows_pods_the_address_of_the_client(local_cluster: LocalCluster, namespace: str) -> None:
    container = {
        "name": "app",
        "image": local_cluster.images.app,
        "imagePullPolicy": "Never",
        "ports": [{"containerPort": 8080, "hostPort": 8099}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "open"}, "spec": {"containers": [container]}}
    apply(local_cluster, namespace, pod)
    for address in (local_cluster.node_address, local_cluster.second_address):
        site = Site(address, http=8099)
        echo = json.loads(until(lambda site=site: site.get("http://any.test/")).body)  # type: ignore[misc]
        assert echo["remote"].startswith("10.232.0.1")


def test_pod_security_is_enforced(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    words = ("run", "bold", f"--namespace={namespace}", f"--image={cluster.images.app}", "--image-pull-policy=Never")
    with pytest.raises(CommandFailed, match="violates PodSecurity"):
        cluster.kubectl(*words, "--privileged")


def test_without_kube_proxy_new_services_are_not_followed(
    local_cluster: LocalCluster, namespace: str, web: App
) -> None:
    local_cluster.stop_kube_proxy()
    try:
        apply(local_cluster, namespace, service("late", "web"))
        url = f"http://{cluster_ip(web, 'late')}/"
        with pytest.raises(CommandFailed):
            web.ask(url)
    finally:
        local_cluster.start_kube_proxy()
    assert until(lambda: answers(web, url))


def answers(app: App, url: str) -> bool:
    try:
        return bool(app.ask(url)["status"] == 200)
    except CommandFailed:
        return False


def test_the_processes_of_a_pod_are_known(local_cluster: LocalCluster, namespace: str, web: App) -> None:
    (pod,) = web.pods()
    assert len(local_cluster.container_pids(namespace, pod["metadata"]["name"])) == 1
