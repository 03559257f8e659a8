"""Whom the policies concern: Ingresses of our class only, and of an old object only what somebody changes."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from e2e.controlplane.cluster import ControlPlane, KubectlFailed
from e2e.policy.chart import enabled, policies
from e2e.policy.conftest import OLD, old_ingress
from e2e.policy.dryrun import DryRun
from e2e.policy.objects import PREFIX, SERVICE, ingress

WRONG = {"ssl-redirect": "yes"}
CLASS = "kubernetes.io/ingress.class"


def test_the_type_checker_of_the_api_server_finds_nothing(cluster: ControlPlane) -> None:
    for policy in ("headrace-refuse", "headrace-warn", "strict-headrace-refuse", "strict-headrace-warn"):
        cluster.kubectl("wait", f"validatingadmissionpolicy/{policy}", "--for=jsonpath={.status.observedGeneration}")
        status = json.loads(cluster.kubectl("get", "validatingadmissionpolicy", policy, "--output=json"))["status"]
        assert status["typeChecking"] == {}


@pytest.mark.parametrize(
    ("of", "concerned"),
    [
        (ingress(WRONG), True),
        (ingress({**WRONG, CLASS: "nginx"}, class_name=None), True),
        (ingress({**WRONG, CLASS: "other"}, class_name=None), False),
        (ingress({**WRONG, CLASS: "nginx"}, class_name="other"), False),
        (ingress(WRONG, class_name="other"), False),
        (ingress(WRONG, class_name=None), False),
    ],
    ids=["class", "annotation", "other annotation", "other class with our annotation", "other class", "no class"],
)
def test_only_ingresses_of_our_class_are_looked_at(api: DryRun, of: dict[str, Any], concerned: bool) -> None:
    assert api.create(of).refused_by_policy == concerned


def test_the_default_class_of_the_cluster_counts_as_named(cluster: ControlPlane, api: DryRun) -> None:
    """The API server writes it into objects before the policies look at them."""
    default = {"name": "headrace", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}
    meta = {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": default}
    cluster.apply({**meta, "spec": {"controller": "headrace.dev/ingress"}})
    deadline = time.monotonic() + 10
    while not api.create(ingress(WRONG, class_name=None)).refused_by_policy:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    cluster.kubectl("delete", "ingressclass", "headrace")


def change(cluster: ControlPlane, patch: dict[str, Any] | list[dict[str, Any]], name: str = OLD) -> None:
    kind = "json" if isinstance(patch, list) else "merge"
    arguments = ["patch", "ingress", name, f"--type={kind}", f"--patch={json.dumps(patch)}", "--dry-run=server"]
    cluster.kubectl(*arguments)


def test_an_object_from_before_may_change_in_everything_else(cluster: ControlPlane) -> None:
    solver = {
        "pathType": "Exact",
        "path": "/.well-known/acme-challenge/x",
        "backend": {"service": {"name": "s", "port": {"number": 1}}},
    }
    change(cluster, {"metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/keep"]}})
    change(cluster, {"metadata": {"annotations": {"example.com/note": "x", PREFIX + "use-regex": "false"}}})
    change(cluster, [{"op": "add", "path": "/spec/rules/0/http/paths/0", "value": solver}])
    change(cluster, [{"op": "remove", "path": "/spec/rules/0/http/paths/1"}])
    cluster.kubectl("delete", "ingress", OLD, "--dry-run=server")


@pytest.mark.parametrize(
    "patch",
    [
        {"metadata": {"annotations": {PREFIX + "ssl-redirect": "no"}}},
        {"metadata": {"annotations": {PREFIX + "server-snippet": "x"}}},
        [{"op": "replace", "path": "/spec/rules/0/host", "value": "1.2.4"}],
        [{"op": "replace", "path": "/spec/rules/0/http/paths/1/path", "value": "/fi;ne"}],
        [{"op": "replace", "path": "/spec/rules/0/http/paths/0/pathType", "value": "Exact"}],
    ],
    ids=["another wrong value", "new annotation", "host", "path", "pathType"],
)
def test_new_faults_in_an_old_object_are_refused(cluster: ControlPlane, patch: Any) -> None:
    with pytest.raises(KubectlFailed, match="ValidatingAdmissionPolicy") as refusal:
        change(cluster, patch)
    assert '"yes"' not in str(refusal.value)  # what was there before is not told again


def test_an_object_that_comes_to_our_class_is_looked_at_as_a_whole(cluster: ControlPlane) -> None:
    cluster.apply(ingress(WRONG, name="guest", class_name="other"))
    with pytest.raises(KubectlFailed, match="ssl-redirect"):
        change(cluster, {"spec": {"ingressClassName": "headrace"}}, "guest")
    cluster.kubectl("delete", "ingress", "guest")


def test_an_object_that_is_being_deleted_can_lose_its_finalizer(cluster: ControlPlane) -> None:
    """Also where the same request brings a fault, which nobody serves any more."""
    doomed = ingress(name="doomed")
    cluster.apply({**doomed, "metadata": {**doomed["metadata"], "finalizers": ["example.com/keep"]}})
    cluster.kubectl("delete", "ingress", "doomed", "--wait=false")
    bare = {"metadata": {"finalizers": None, "annotations": {PREFIX + "ssl-redirect": "yes"}}}
    cluster.kubectl("patch", "ingress", "doomed", "--type=merge", f"--patch={json.dumps(bare)}")
    cluster.kubectl("wait", "ingress/doomed", "--for=delete", "--timeout=10s")


def test_one_value_leaves_the_policies_out() -> None:
    assert len(policies()) == 4
    assert policies("admissionPolicy.enabled=false") == []


def test_settings_of_the_release_count(api: DryRun) -> None:
    """One whose controller is stricter, allows what the first does not, and has a prefix of its own."""
    firewall = ingress({"example.com/enable-modsecurity": "true"}, class_name="strict")
    assert "is not carried out" in " ".join(api.create(firewall).warnings)
    assert "strict-validate-path-type allows" in api.create(ingress(path="/a~b", class_name="strict")).message
    catch_all = api.create(ingress(class_name="strict", defaultBackend=SERVICE))
    assert "spec.defaultBackend: " in catch_all.message and "[catch-all-disabled]" in catch_all.message
    assert api.create(ingress(WRONG, class_name="strict")).taken  # the usual prefix means nothing there


def condition(*settings: str) -> str:
    conditions = {each["name"]: each["expression"] for each in enabled(*settings)[0]["spec"]["matchConditions"]}
    return str(conditions["ours"])


def test_whose_ingresses_are_ours_is_said_as_to_the_controller() -> None:
    assert '.spec.ingressClassName in ["headrace"]' in condition()
    assert condition().endswith(": false")
    assert condition("controller.watchIngressWithoutClass=true").endswith(": true")
    several = condition(
        "controller.ingressClassByName=true",
        "controller.ingressClass=public",
        "admissionPolicy.ingressClassNames={nginx,internal}",
    )
    assert '.spec.ingressClassName in ["headrace","nginx","internal","public"]' in several
    assert "['kubernetes.io/ingress.class'] == \"public\"" in several


def bindings(*settings: str) -> list[dict[str, Any]]:
    return [each["spec"] for each in enabled(*settings) if each["kind"].endswith("Binding")]


def test_a_release_for_one_namespace_looks_at_that_one() -> None:
    of_one = bindings("controller.scope.enabled=true", "controller.scope.namespace=shop")
    labels = {"kubernetes.io/metadata.name": "shop"}
    assert [spec["matchResources"]["namespaceSelector"]["matchLabels"] for spec in of_one] == [labels, labels]
    assert all("matchResources" not in spec for spec in bindings())


def test_a_selector_of_namespaces_is_that_of_the_controller() -> None:
    selector = "team=a,env in (x, y),stage!=dev,!old,tier notin (z),kept".replace(",", "\\,")
    first = bindings(f"controller.scope.namespaceSelector={selector}")[0]
    assert first["matchResources"]["namespaceSelector"]["matchExpressions"] == [
        {"key": "team", "operator": "In", "values": ["a"]},
        {"key": "env", "operator": "In", "values": ["x", "y"]},
        {"key": "stage", "operator": "NotIn", "values": ["dev"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "tier", "operator": "NotIn", "values": ["z"]},
        {"key": "kept", "operator": "Exists"},
    ]


def test_the_old_object_is_as_wrong_as_these_tests_need(api: DryRun) -> None:
    assert api.create({**old_ingress(), "metadata": {**old_ingress()["metadata"], "name": "new"}}).refused_by_policy
