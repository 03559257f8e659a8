"""What the tests of the admission policies share: one API server on which the chart's policies are in force."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.controlplane.cluster import CONTROLLERS, ControlPlane
from e2e.policy.chart import enabled
from e2e.policy.dryrun import DryRun
from e2e.policy.objects import BUCKET, PREFIX, ingress

TYPE_CHECKER = "validatingadmissionpolicy-status-controller"
OLD = "from-before"
"""An Ingress that was there before the policies, with much that they refuse."""

STRICT = (
    "controller.ingressClassResource.name=strict",
    "controller.extraArgs.annotations-prefix=example.com",
    "controller.extraArgs.disable-catch-all=true",
    "controller.config.strict-validate-path-type=true",
    "controller.config.allow-missing-waf=True",
)
"""Settings of a second release beside the first, whose class is `strict`."""

_IN_FORCE_SECONDS = 30.0


@pytest.fixture(scope="package")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("policy")
    with ControlPlane(folder, controllers=(*CONTROLLERS, TYPE_CHECKER)) as running:
        running.apply(old_ingress())
        yield running


@pytest.fixture(scope="package")
def cluster(control_plane: ControlPlane) -> ControlPlane:
    """The control plane with the policies of the chart in force. An error in one refuses, so that tests see it."""
    objects = enabled() + enabled(*STRICT, release="strict-headrace")
    for each in objects:
        if each["kind"] == "ValidatingAdmissionPolicy":
            each["spec"]["failurePolicy"] = "Fail"
    control_plane.apply(*objects)
    with dry_run(control_plane) as api:
        _await_refusal(api)
    return control_plane


@pytest.fixture
def api(cluster: ControlPlane) -> Iterator[DryRun]:
    with dry_run(cluster) as client:
        yield client


def dry_run(control_plane: ControlPlane) -> DryRun:
    admin = control_plane.authority.client("policy-tests", ["system:masters"])
    return DryRun(control_plane.url, control_plane.authority.certificate, admin.certificate, admin.key)


def old_ingress() -> dict[str, Any]:
    """What stood in the cluster before."""
    found = ingress(
        {"ssl-redirect": "yes", "auth-type": "basic"},
        name=OLD,
        rules=[{"host": "1.2.3", "paths": [("Prefix", "/a;b"), ("Prefix", "/fine"), ("Prefix", "/static")]}],
        defaultBackend=BUCKET,
    )
    found["spec"]["rules"][0]["http"]["paths"][2]["backend"] = BUCKET
    return found


def _await_refusal(api: DryRun) -> None:
    """The API server looks at new policies about once a second; the last one it sees is the warning one."""
    deadline = time.monotonic() + _IN_FORCE_SECONDS
    for class_name, prefix in (("headrace", PREFIX), ("strict", "example.com/")):
        wrong = ingress({prefix + "ssl-redirect": "yes", prefix + "no-such": "x"}, class_name=class_name)
        while not ((answer := api.create(wrong)).refused_by_policy and answer.warnings):
            assert time.monotonic() < deadline, f"the policies are not in force: {answer}"
            time.sleep(0.1)
