"""One replica of the controller against the real API server, with exactly the rights that the chart grants."""

from __future__ import annotations

from pathlib import Path

from controller.tests.live.headrace import Headrace
from e2e.chart.rendering import rights
from e2e.controlplane.cluster import ControlPlane

CLASS = "headrace"

INGRESS_CLASS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "IngressClass",
    "metadata": {"name": CLASS},
    "spec": {"controller": "headrace.dev/ingress"},
}


def replica(control_plane: ControlPlane, directory: Path, *flags: str, name: str = "headrace-0") -> Headrace:
    """Not yet started. `directory` takes its state and its log."""
    control_plane.apply(*rights())
    control_plane.apply(INGRESS_CLASS)
    kubeconfig = control_plane.kubeconfig_for("headrace", "headrace")
    directory.mkdir(parents=True, exist_ok=True)
    return Headrace(
        directory,
        directory / "unused",
        flags,
        environment={"POD_NAME": name, "POD_NAMESPACE": "headrace"},
        source=("--kubeconfig", str(kubeconfig)),
    )
