"""Kubeconfig files, written as JSON, which every reader of YAML takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.controlplane.certificates import KeyPair

User = Mapping[str, object]


def certificate_user(pair: KeyPair) -> User:
    """Who shows a client certificate."""
    return {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}


def token_user(token: str) -> User:
    """Who shows a bearer token."""
    return {"token": token}


def exec_user(command: str, arguments: Sequence[str]) -> User:
    """Who asks a credential plugin each time, as managed clusters have it."""
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": command,
        "args": list(arguments),
        "interactiveMode": "Never",
    }
    return {"exec": plugin}


def exec_credential(token: str) -> str:
    """Return what a credential plugin prints to hand out `token`."""
    api_version = "client.authentication.k8s.io/v1"
    status = {"token": token}
    return json.dumps({"apiVersion": api_version, "kind": "ExecCredential", "status": status})


def write_kubeconfig(path: Path, server: str, authority: Path, user: User) -> Path:
    """Write a kubeconfig of one cluster, one user and one context, which is current."""
    cluster = {"server": server, "certificate-authority": str(authority)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": cluster}],
        "users": [{"name": "e2e", "user": dict(user)}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e"}}],
        "current-context": "e2e",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=2))
    return path
