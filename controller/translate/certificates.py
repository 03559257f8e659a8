"""Chooses the certificate of each host from the `tls` sections of its Ingresses, and tells what is wrong with it.

Oldest Ingress first, the first one **with a tls section** decides (routing, "Which certificate"): the entry that lists
the host; else the first entry whose certificate covers it; else the default certificate. In every case such a host
counts as TLS-enabled, so its plain requests are redirected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controller.k8s.ingress import TLS, Ingress
from controller.model.configuration import DEFAULT_CERTIFICATE, Certificate
from controller.model.diagnostics import Effect
from controller.model.options import Options
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.translate.findings import Findings
from controller.translate.hosts import normalise_host
from controller.translate.tls import (
    SOON,
    CertificateCache,
    CertificateFault,
    certificate_id,
    covers,
    still_good,
)
from controller.translate.view import View


@dataclass(frozen=True, slots=True)
class HostTls:
    """`enabled`: the host has a tls section. `certificate`: as in `Server.certificate`."""

    enabled: bool
    certificate: str | None = None


NO_TLS = HostTls(False)
BY_DEFAULT = HostTls(True, DEFAULT_CERTIFICATE)


@dataclass(slots=True)
class Certificates:
    """Looks Secrets up, remembers those in use and those that are missing.

    `moments`: seconds since the epoch at which something would come out otherwise. `looked_back`: what was found among
    the certificates served so far, by id.
    """

    view: View
    options: Options
    findings: Findings
    cache: CertificateCache
    kept: Mapping[str, Certificate]
    now: int
    used: dict[str, Certificate] = field(default_factory=dict)
    referenced: set[ObjectKey] = field(default_factory=set)
    moments: set[int] = field(default_factory=set)
    looked_back: dict[str, Certificate | None] = field(default_factory=dict)
    _told: set[tuple[ObjectKey, str]] = field(default_factory=set)

    def tls_of(self, host: str, ingresses: Sequence[Ingress]) -> HostTls:
        """`ingresses` are those of the host, oldest first."""
        decider = next((i for i in ingresses if i.spec.tls), None)
        if decider is None:
            return NO_TLS
        found = self._entry_for(host, decider)
        if found is None:
            return BY_DEFAULT
        position, entry = found
        if not entry.secret_name:
            return BY_DEFAULT
        where = FieldPath("spec.tls").index(position).child("secretName")
        certificate = self._lookup(decider, entry.secret_name, where)
        if certificate is None or not self._fits(certificate, host, decider, where):
            return BY_DEFAULT
        self.used[certificate.id] = certificate
        return HostTls(True, certificate.id)

    def default(self) -> str | None:
        """The certificate of --default-ssl-certificate; None leaves the self-signed one of this start."""
        key = self.options.default_ssl_certificate
        if key is None:
            return None
        self.referenced.add(key)
        secret = self.view.secret(key)
        try:
            if secret is None:
                raise CertificateFault("secret-not-found", "it does not exist")
            certificate = self.cache.certificate_of(secret)
        except CertificateFault as fault:
            certificate_kept = self._served_so_far(certificate_id(key)) if secret else None
            self.findings.error(
                "default-certificate-unusable",
                key,
                FieldPath(""),
                f"The Secret of --default-ssl-certificate cannot be used: {fault}.",
                Effect.PREVIOUS_VERSION_SERVED if certificate_kept else Effect.DEFAULT_CERTIFICATE_SERVED,
            )
            if certificate_kept is None:
                return None
            certificate = certificate_kept
        self.used[certificate.id] = certificate
        self._warn_of_end(certificate, key, FieldPath(""), ())
        return certificate.id

    def _entry_for(self, host: str, ingress: Ingress) -> tuple[int, TLS] | None:
        for position, entry in enumerate(ingress.spec.tls):
            if any(_same_name(h, host) for h in entry.hosts):
                return position, entry
        for position, entry in enumerate(ingress.spec.tls):
            certificate = self._quiet_lookup(ingress.metadata.namespace, entry.secret_name)
            if certificate and host and covers(certificate, host):
                return position, entry
        return None

    def _quiet_lookup(self, namespace: str, name: str) -> Certificate | None:
        if not name:
            return None
        key = ObjectKey(Kind.SECRET, namespace, name)
        self.referenced.add(key)
        secret = self.view.secret(key)
        try:
            return self.cache.certificate_of(secret) if secret else None
        except CertificateFault:
            return None

    def _lookup(self, ingress: Ingress, name: str, where: FieldPath) -> Certificate | None:
        owner = ObjectKey(Kind.INGRESS, ingress.metadata.namespace, ingress.metadata.name)
        key = ObjectKey(Kind.SECRET, ingress.metadata.namespace, name)
        self.referenced.add(key)
        secret = self.view.secret(key)
        if secret is None:
            self.findings.warning(
                "secret-not-found",
                owner,
                where,
                f"There is no Secret {key.path} (or it may not be read).",
                Effect.DEFAULT_CERTIFICATE_SERVED,
                related=(key,),
            )
            return None
        try:
            return self.cache.certificate_of(secret)
        except CertificateFault as fault:
            return self._fall_back(owner, key, where, fault)

    def _fall_back(
        self, owner: ObjectKey, key: ObjectKey, where: FieldPath, fault: CertificateFault
    ) -> Certificate | None:
        kept = self._served_so_far(certificate_id(key))
        effect = Effect.PREVIOUS_VERSION_SERVED if kept else Effect.DEFAULT_CERTIFICATE_SERVED
        self.findings.error(
            fault.code, owner, where, f"Secret {key.path} cannot be used: {fault}.", effect, related=(key,)
        )
        if (key, fault.code) not in self._told:
            self._told.add((key, fault.code))
            self.findings.error(
                fault.code, key, FieldPath("data"), f"The Secret cannot be used: {fault}.", effect, related=(owner,)
            )
        return kept

    def _served_so_far(self, identity: str) -> Certificate | None:
        found = self.looked_back[identity] = self.kept.get(identity)
        if found is not None:
            self.moments.add(found.not_after)
        return still_good(self.kept, identity, self.now)

    def _fits(self, certificate: Certificate, host: str, ingress: Ingress, where: FieldPath) -> bool:
        owner = ObjectKey(Kind.INGRESS, ingress.metadata.namespace, ingress.metadata.name)
        if host and not covers(certificate, host):
            names = ", ".join(certificate.names[:5]) or "no name at all"
            self.findings.warning(
                "certificate-host-mismatch",
                owner,
                where,
                f"The certificate is not valid for {host}: it names {names}.",
                Effect.DEFAULT_CERTIFICATE_SERVED,
                related=(certificate.secret,) if certificate.secret else (),
            )
            return False
        self._warn_of_end(certificate, owner, where, (certificate.secret,) if certificate.secret else ())
        return True

    def _warn_of_end(
        self, certificate: Certificate, owner: ObjectKey, where: FieldPath, related: tuple[ObjectKey, ...]
    ) -> None:
        self.moments |= {certificate.not_after - SOON, certificate.not_after}
        if certificate.not_after > self.now + SOON:
            return
        code = "certificate-expired" if certificate.not_after <= self.now else "certificate-expires-soon"
        message = "The certificate has run out." if code == "certificate-expired" else "The certificate runs out soon."
        self.findings.warning(code, owner, where, message, Effect.NONE, related=related)


def for_other_name(name: str, certificate: str | None, used: Mapping[str, Certificate]) -> str | None:
    """What an alias of a host shows: the host's certificate if it is valid for the alias, else the default one."""
    own = used.get(certificate or "")
    if certificate is None or (own is not None and covers(own, name)):
        return certificate
    return DEFAULT_CERTIFICATE


def _same_name(listed: str, host: str) -> bool:
    try:
        return normalise_host(listed) == host
    except ValueError:
        return False
