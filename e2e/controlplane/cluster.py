"""A Kubernetes control plane of real programs: etcd, kube-apiserver, kube-controller-manager.

Guarantees: on entering, the API server is ready and its controllers work; all listeners are on
127.0.0.1; on leaving, also by an exception, every process has ended. Everything it writes is in the
folder it was given; logs stay there, and their ends are in the message when a start fails.

Why no node: what is tested here (watches, RBAC, validation, status, leases) never runs a pod.
"""

from __future__ import annotations

import errno
import json
import random
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from types import TracebackType
from typing import Self

from e2e.controlplane import build
from e2e.controlplane.certificates import Authority
from e2e.controlplane.kubeconfig import (
    User,
    certificate_user,
    exec_credential,
    exec_user,
    token_user,
    write_kubeconfig,
)
from e2e.controlplane.processes import Program

Manifest = Mapping[str, object]

SERVICE_RANGE = "10.96.0.0/16"
CONTROLLERS = (
    "serviceaccount-token-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller",
    "namespace-controller",
    "garbage-collector-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
)

_API_SERVER = "kube-apiserver"
_CONTROLLER_MANAGER = "kube-controller-manager"
_ISSUER = "https://kubernetes.default.svc"
_START_SECONDS = 60.0
_KUBECTL_SECONDS = 120.0
_POLL_SECONDS = 0.05


class ControlPlaneFailed(Exception):
    """A program of the control plane ended, or was not ready in time; carries its last output."""


class KubectlFailed(Exception):
    """kubectl ended with an error; carries what it wrote to stderr."""


class ControlPlane:
    """Context manager: one API server with its etcd and its controllers."""

    def __init__(
        self,
        folder: Path,
        *,
        etcd_compaction_interval: str = "5m",
        controllers: Sequence[str] = CONTROLLERS,
        apiserver_flags: Sequence[str] = (),
        addresses: Sequence[str] = (),
    ) -> None:
        """`folder` is empty or does not exist; the server's certificate names `addresses`, too.

        `apiserver_flags` come last, so they also replace flags of ours. A kubelet takes the server
        for the administrator.

        Two ways to a watch that ends with 410: a restart of the API server, whose watch cache then
        knows nothing older; or, without a restart, a short `etcd_compaction_interval` together with
        the flag `--watch-cache=false`, for the cache outlives compaction.
        """
        self._folder = folder
        self._compaction_interval = etcd_compaction_interval
        self._controllers = controllers
        self._extra_apiserver_flags = apiserver_flags
        self._programs: dict[str, Program] = {}
        self._bin = build.binaries()
        self._pki, self._logs, self._users = self._make_folders("pki", "logs", "users")
        self.authority = Authority(self._pki)
        self._serving = self.authority.server(
            _API_SERVER,
            ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"],
            ["127.0.0.1", "10.96.0.1", *addresses],
        )
        self._token_keys = self.authority.signing_key("service-accounts")
        self._admin = self.authority.client("e2e-admin", ["system:masters"])
        self._ports = _free_ports("etcd", "etcd-peer", _API_SERVER)
        self.url = f"https://127.0.0.1:{self._ports[_API_SERVER]}"
        self.admin_kubeconfig = self._kubeconfig("admin", certificate_user(self._admin))

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self._kill_all)
            self._run("etcd", self._etcd_flags())
            self.start_apiserver()
            undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._kill_all()

    # What tests do with it

    def kubectl(self, *args: str, input: str | None = None, kubeconfig: Path | None = None) -> str:
        """Run kubectl, as the administrator or as whom `kubeconfig` tells; return its stdout."""
        command = [
            str(self._bin / "kubectl"),
            f"--kubeconfig={kubeconfig or self.admin_kubeconfig}",
            f"--cache-dir={self._folder / 'kubectl-cache'}",
            *args,
        ]
        done = subprocess.run(
            command,
            input=input,
            capture_output=True,
            text=True,
            check=False,
            timeout=_KUBECTL_SECONDS,
        )
        if done.returncode:
            raise KubectlFailed(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *objects: Manifest) -> None:
        """Create or change `objects`, all in one call."""
        whole = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.kubectl("apply", "--filename=-", input=json.dumps(whole))

    def add_node(self, name: str, internal_ip: str, external_ip: str | None = None) -> None:
        """Create a Node object that says it is ready and has these addresses."""
        addresses = [{"type": "InternalIP", "address": internal_ip}]
        if external_ip:
            addresses.append({"type": "ExternalIP", "address": external_ip})
        ready = {"type": "Ready", "status": "True", "reason": "E2e", "message": "there is no node"}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name},
            "status": {"addresses": addresses, "conditions": [ready]},
        }
        self.kubectl("create", "--filename=-", input=json.dumps(node))

    def kubeconfig_for(self, service_account_namespace: str, name: str) -> Path:
        """Write a kubeconfig with a token of this ServiceAccount, as a pod would have it."""
        token = self._token(service_account_namespace, name)
        return self._kubeconfig(f"{service_account_namespace}-{name}-token", token_user(token))

    def exec_kubeconfig_for(self, service_account_namespace: str, name: str) -> Path:
        """Write a kubeconfig whose credential plugin hands out a token of this ServiceAccount.

        The plugin is `cat` of the `.credential` file beside the kubeconfig; tests may rewrite it.
        """
        stem = f"{service_account_namespace}-{name}-exec"
        credential = self._users / f"{stem}.credential"
        credential.write_text(exec_credential(self._token(service_account_namespace, name)))
        return self._kubeconfig(stem, exec_user("cat", [str(credential)]))

    def client_kubeconfig(self, user: str, groups: Sequence[str] = ()) -> Path:
        """Write a kubeconfig with a client certificate of any user, for example of a component."""
        pair = self.authority.client(user, groups)
        return self._kubeconfig(user.replace(":", "-"), certificate_user(pair))

    def start_apiserver(self) -> None:
        """Start the API server, the first time or again: same port, same data; wait until ready."""
        self._run(_API_SERVER, self._apiserver_flags())
        self._await(_API_SERVER, lambda: self._answers("/readyz"))
        self._start_controllers()

    def stop_apiserver(self, *, kill: bool = False) -> None:
        """End the API server as an upgrade would or, with `kill`, as a crash would."""
        program = self._programs.pop(_API_SERVER)
        if kill:
            program.kill()
        else:
            program.stop()

    def pids(self) -> Mapping[str, int]:
        """The process ids of what runs now, by program."""
        return {name: program.pid for name, program in self._programs.items() if program.running}

    # How it runs

    def _etcd_flags(self) -> list[str]:
        client, peer = self._etcd_url, f"http://127.0.0.1:{self._ports['etcd-peer']}"
        return [
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _apiserver_flags(self) -> list[str]:
        return [
            "--bind-address=127.0.0.1",
            f"--secure-port={self._ports[_API_SERVER]}",
            # The Service `kubernetes` gets no endpoints: the API refuses loopback addresses there.
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--etcd-servers={self._etcd_url}",
            f"--etcd-compaction-interval={self._compaction_interval}",
            f"--tls-cert-file={self._serving.certificate}",
            f"--tls-private-key-file={self._serving.key}",
            f"--client-ca-file={self.authority.certificate}",
            f"--service-account-issuer={_ISSUER}",
            f"--service-account-key-file={self._token_keys.certificate}",
            f"--service-account-signing-key-file={self._token_keys.key}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            # Without a grace period a stop waits for open watches, up to a minute.
            "--shutdown-watch-termination-grace-period=1s",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            f"--kubelet-client-certificate={self._admin.certificate}",
            f"--kubelet-client-key={self._admin.key}",
            f"--kubelet-certificate-authority={self.authority.certificate}",
            *self._extra_apiserver_flags,
        ]

    def _controller_manager_flags(self) -> list[str]:
        return [
            f"--kubeconfig={self.client_kubeconfig('system:kube-controller-manager')}",
            f"--controllers={','.join(self._controllers)}",
            f"--service-account-private-key-file={self._token_keys.key}",
            f"--root-ca-file={self.authority.certificate}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--secure-port=0",
        ]

    @property
    def _etcd_url(self) -> str:
        return f"http://127.0.0.1:{self._ports['etcd']}"

    def _start_controllers(self) -> None:
        # Always new ones: after an outage the old ones may wait half a minute to look again.
        if old := self._programs.pop(_CONTROLLER_MANAGER, None):
            old.kill()
        self._run(_CONTROLLER_MANAGER, self._controller_manager_flags())
        first_work = "/api/v1/namespaces/default/serviceaccounts/default"
        self._await(_CONTROLLER_MANAGER, lambda: self._answers(first_work))

    def _answers(self, path: str) -> bool:
        tls = ssl.create_default_context(cafile=str(self.authority.certificate))
        tls.load_cert_chain(self._admin.certificate, self._admin.key)
        server = HTTPSConnection("127.0.0.1", self._ports[_API_SERVER], timeout=5, context=tls)
        try:
            server.request("GET", path)
            return server.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            server.close()

    def _run(self, name: str, flags: Sequence[str]) -> None:
        command = [str(self._bin / name), *flags]
        self._programs[name] = Program(command, self._logs / f"{name}.log")

    def _await(self, name: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not condition():
            ended = [each for each, program in self._programs.items() if not program.running]
            if ended or time.monotonic() > deadline:
                raise ControlPlaneFailed(self._post_mortem(name, ended))
            time.sleep(_POLL_SECONDS)

    def _post_mortem(self, name: str, ended: Sequence[str]) -> str:
        reason = f"{', '.join(ended)} ended" if ended else f"not ready in {_START_SECONDS:.0f} s"
        tails = [f"--- {each}\n{self._programs[each].log_tail()}" for each in ended or [name]]
        return "\n".join([f"{name}: {reason}; all logs are in {self._logs}", *tails])

    def _kill_all(self) -> None:
        while self._programs:  # no grace: nothing of their data is wanted any more
            self._programs.popitem()[1].kill()
        shutil.rmtree(self._folder / "etcd", ignore_errors=True)

    def _token(self, namespace: str, name: str) -> str:
        return self.kubectl("create", "token", name, f"--namespace={namespace}").strip()

    def _kubeconfig(self, stem: str, user: User) -> Path:
        path = self._users / f"{stem}.kubeconfig"
        return write_kubeconfig(path, self.url, self.authority.certificate, user)

    def _make_folders(self, *names: str) -> list[Path]:
        folders = [self._folder / name for name in names]
        for folder in folders:
            folder.mkdir(parents=True)
        return folders


def _free_ports(*names: str) -> dict[str, int]:
    """Choose a free port for each name, outside of the range that clients get theirs from.

    A port from that range could be taken while the API server is down; a client that tries again
    and again could even be given the very port it calls, and would be connected to itself.
    """
    free = filter(_is_free, random.sample(range(20_000, 30_000), 1_000))
    return dict(zip(names, free, strict=False))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
