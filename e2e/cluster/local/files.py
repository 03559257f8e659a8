"""The configuration files of containerd, kubelet, kube-proxy and the pod network.

Each function returns a whole file; JSON is read by everything that reads YAML.
"""

from __future__ import annotations

import json
from pathlib import Path

from e2e.cluster.local.layout import CNI_PROGRAMS, CONTAINERD_SOCKET, NODE_ADDRESS, NODE_NAME, POD_RANGE
from e2e.controlplane.certificates import KeyPair

_MAX_PODS = 200


def containerd(network_folder: Path, sandbox_image: str) -> str:
    """Debian 12 (containerd 1.6) to 13 (1.7) read this; data is in memory, see `inside`."""
    return f"""\
version = 2
root = "/run/containerd-data"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox_image}"
  # Without CAP_SYS_RESOURCE the score of a process cannot be lowered.
  restrict_oom_score_adj = true
  # A profile would stay in the kernel after us.
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PROGRAMS}"
    conf_dir = "{network_folder}"
"""


def pod_network() -> str:
    """Point-to-point links, so that all traffic between pods is routed and passes kube-proxy's rules.

    On one bridge a reply would go back directly and miss the reverse of the address change, unless
    the kernel has br_netfilter.
    """
    addresses = {"type": "host-local", "ranges": [[{"subnet": POD_RANGE}]], "routes": [{"dst": "0.0.0.0/0"}]}
    plugins = [
        {"type": "ptp", "ipMasq": False, "ipam": addresses},
        {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
    ]
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": plugins}, indent=2)


def kubelet(authority: Path, serving: KeyPair, resolver: Path) -> str:
    """Settings as of kubeadm, but: no eviction for a full disk, and works with cgroups of version 1."""
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "resolvConf": str(resolver),
        "maxPods": _MAX_PODS,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        # Its statistics know few file systems, and none in memory.
        "localStorageCapacityIsolation": False,
        "evictionHard": {"imagefs.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%"},
        "imageGCHighThresholdPercent": 100,
        # An image that was replaced under its name must not go before its last pod has.
        "imageMinimumGCAge": "24h",
        "volumePluginDir": "/run/kubelet-volume-plugins",
        "nodeStatusUpdateFrequency": "5s",
    }
    return json.dumps(settings, indent=2)


def kube_proxy(kubeconfig: Path) -> str:
    """The iptables mode, without settings that belong to the whole machine."""
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "clusterCIDR": POD_RANGE,
        "hostnameOverride": NODE_NAME,
        "oomScoreAdj": 0,
        "iptables": {"minSyncPeriod": "100ms"},
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    return json.dumps(settings, indent=2)


def resolver() -> str:
    """There is no cluster DNS: a question is refused at once, instead of after a timeout."""
    return "nameserver 127.0.0.1\n"


def kubelet_flags(configuration: Path, kubeconfig: Path) -> list[str]:
    """What has no place in the file."""
    return [
        f"--config={configuration}",
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={NODE_ADDRESS}",
        "--root-dir=/run/kubelet",
    ]
