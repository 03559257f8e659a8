"""Where the data plane lives on this machine: ports, sockets, directories and what its nginx can do.

Fixed for the life of the process; the renderer needs it to write absolute places, the data plane to find them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NginxBinary:
    """What the start-up check found. `version` is e.g. (1, 31, 3); `modules` are names as in `nginx -V`."""

    path: str
    version: tuple[int, int, int]
    features: frozenset[str] = frozenset()

    def has(self, feature: str) -> bool:
        """`feature` is one of `ipv6`, `headers-more`, `stub-status`, `http3`, `gzip-static`, `least-time`, `stream`,
        `stream-ssl-preread`."""
        return feature in self.features


@dataclass(frozen=True, slots=True)
class Layout:
    """What the renderer and the data plane need to know of this machine.

    `workers`: processors that nginx may use. `open_files`: the hard limit of file descriptors. `public_https_port`: the
    port in redirects to HTTPS, left out where it is 443. `plain_http_port`, `plain_https_port`: further listeners that
    never expect the PROXY protocol; 0 for none. `bind_addresses`: empty for all; IPv6 ones in brackets.
    `resolvers`: `address:port` of our DNS responder. `state_dir` holds what outlives the process; `run_dir` the sockets
    (short path, at most 107 bytes each).
    """

    state_dir: str
    run_dir: str
    nginx: NginxBinary
    http_port: int = 80
    https_port: int = 443
    plain_http_port: int = 0
    plain_https_port: int = 0
    bind_addresses: tuple[str, ...] = ()
    ipv6: bool = True
    resolvers: tuple[str, ...] = ()
    sentinel_port: int = 0
    worker_user: str = ""
    workers: int = 1
    open_files: int = 1024
    public_https_port: int = 443
    access_log: str = "/dev/stdout"

    @property
    def certificates_dir(self) -> str:
        return f"{self.state_dir}/certificates"

    @property
    def generations_dir(self) -> str:
        return f"{self.state_dir}/generations"

    @property
    def current(self) -> str:
        """The symbolic link to the generation in force; nginx is started with this path."""
        return f"{self.state_dir}/current"

    @property
    def pid_file(self) -> str:
        return f"{self.state_dir}/nginx.pid"

    @property
    def probe_socket(self) -> str:
        return f"{self.run_dir}/probe.sock"

    @property
    def hold_socket(self) -> str:
        return f"{self.run_dir}/hold.sock"

    @property
    def https_socket(self) -> str:
        """Where nginx hands itself the TLS connections that are not passed through."""
        return f"{self.run_dir}/https.sock"

    @property
    def refused_socket(self) -> str:
        """Where nginx hangs up on clients that a passed-through host keeps out."""
        return f"{self.run_dir}/refused.sock"

    @property
    def metrics_log(self) -> str:
        return f"{self.run_dir}/requests.log"

    @property
    def temp_dir(self) -> str:
        return f"{self.state_dir}/temp"
