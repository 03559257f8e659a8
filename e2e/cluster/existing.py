"""A cluster that is there already: $KUBECONFIG leads to it, as its administrator.

Its nodes have the images, or can pull them: `HEADRACE_E2E_IMAGE` and `HEADRACE_E2E_APP_IMAGE` name them.
`HEADRACE_E2E_NODE_ADDRESS` is a node's address, where the one of the Node object cannot be reached.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster.provider import ReachedByKubeconfig
from e2e.images import Images


class Existing(ReachedByKubeconfig):
    """Someone else's cluster."""

    name = "existing"

    @property
    def node_address(self) -> str:
        """The given one, else what the first Node says, an external address before an internal one."""
        return os.environ.get("HEADRACE_E2E_NODE_ADDRESS") or first_address(self)


def first_address(cluster: ReachedByKubeconfig) -> str:
    """Return the address of the first node: ExternalIP, or else InternalIP."""
    node = json.loads(cluster.kubectl("get", "nodes", "--output=json"))["items"][0]
    addresses = {each["type"]: each["address"] for each in node["status"]["addresses"]}
    return str(addresses.get("ExternalIP") or addresses["InternalIP"])


@contextmanager
def cluster() -> Iterator[Existing]:
    """The cluster of $KUBECONFIG; it stays as it is."""
    kubeconfig = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config").absolute()
    images = Images(
        headrace=os.environ.get("HEADRACE_E2E_IMAGE", "headrace:e2e"),
        app=os.environ.get("HEADRACE_E2E_APP_IMAGE", "headrace-e2e-app:e2e"),
        pause="",
        archive=Path(os.devnull),
    )
    yield Existing(kubeconfig, images)
