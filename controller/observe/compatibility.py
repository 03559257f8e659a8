"""Metrics under the names of ingress-nginx, so that dashboards and alerts keep working. Only what means the same.

Differences that remain: there are no labels `host`, `path` and `canary` on requests, and histograms carry the class of
the status (`2xx`) instead of the code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from controller.model.configuration import DEFAULT_CERTIFICATE, Certificate, Configuration
from controller.observe.exposition import Family, labels, sample
from controller.observe.live import ReloadState
from controller.observe.series import Metric, RequestSeries

PREFIX = "nginx_ingress_controller_"
NAMES = {
    Metric.REQUESTS: f"{PREFIX}requests",
    Metric.REQUEST_SECONDS: f"{PREFIX}request_duration_seconds",
    Metric.UPSTREAM_SECONDS: f"{PREFIX}response_duration_seconds",
}
"""`response_duration_seconds` has no labels `method` and `status`."""


class Identity(NamedTuple):
    """Who we are, for `build_info` and the constant labels of ingress-nginx."""

    version: str
    nginx: str = ""
    pod: str = ""
    namespace: str = ""
    controller_class: str = ""


class OldNames:
    """The old names with their constant labels."""

    def __init__(self, identity: Identity) -> None:
        self._class = identity.controller_class
        self._constant = labels(
            controller_class=identity.controller_class,
            controller_namespace=identity.namespace,
            controller_pod=identity.pod,
        )

    def families(
        self, requests: RequestSeries, reload: ReloadState, configuration: Configuration | None
    ) -> Iterator[Family]:
        yield from requests.families(NAMES, self._constant)
        yield self._single("success", "counter", "Reloads of nginx.", reload.reloads)
        yield self._single("errors", "counter", "Configurations that could not be put in force.", reload.failures)
        if reload.last_ok is not None:
            name = "config_last_reload_successful"
            yield self._single(name, "gauge", "Whether the last configuration was put in force.", int(reload.last_ok))
        if configuration is not None:
            name = f"{PREFIX}ssl_expire_time_seconds"
            text = "When the certificate of a host runs out, in seconds since the epoch."
            yield Family(name, "gauge", text, self._expiry_lines(name, configuration))

    def _single(self, name: str, kind: Literal["counter", "gauge"], text: str, value: int) -> Family:
        return Family(PREFIX + name, kind, text, [sample(PREFIX + name, self._constant, value)])

    def _expiry_lines(self, name: str, configuration: Configuration) -> Iterator[str]:
        for host, certificate in hosts_with_certificates(configuration):
            own = labels(
                **{"class": self._class},
                host=host,
                namespace=certificate.secret.namespace if certificate.secret else "",
                secret_name=certificate.secret.name if certificate.secret else "",
            )
            yield sample(name, f"{own},{self._constant}", certificate.not_after)


def hosts_with_certificates(configuration: Configuration) -> Iterator[tuple[str, Certificate]]:
    """Hosts with the certificate that is served for them; the catch-all is `_`."""
    for server in configuration.servers.values():
        name = server.certificate if server.host else DEFAULT_CERTIFICATE
        chosen = configuration.default_certificate if name == DEFAULT_CERTIFICATE else name
        certificate = configuration.certificates.get(chosen or "")
        if certificate is not None:
            yield server.host or "_", certificate
