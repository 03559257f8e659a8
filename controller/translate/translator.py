"""Snapshot in, Translation out: the pure middle of the controller.

Guarantees: reads only its arguments, changes none of them, and gives equal results for equal inputs in any order of
objects. No object can keep another from being translated; what is wrong becomes a Diagnostic with an owner.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.model.configuration import Certificate, Configuration, MainSettings, References, Server, Translation
from controller.model.diagnostics import Effect, Report
from controller.model.options import Options
from controller.model.refs import FieldPath, ObjectKey
from controller.model.stream import Streams
from controller.state.snapshot import Snapshot
from controller.translate.annotations.families import error_pages
from controller.translate.annotations.families.passthrough import SSL_PASSTHROUGH
from controller.translate.annotations.policies import policy_of
from controller.translate.backends import Target, Upstreams
from controller.translate.canaries import tell_strays
from controller.translate.certificates import Certificates
from controller.translate.claims import Source, add_canaries, claims_by_host, source_key
from controller.translate.configmap import settings_of, with_named_objects
from controller.translate.dialects import settle_backend_tls
from controller.translate.findings import Findings
from controller.translate.inspection import is_refused, restrained
from controller.translate.locations import Locations
from controller.translate.own_hosts import settle_own_hosts
from controller.translate.ownership import Ownership
from controller.translate.passthrough import passthrough_of, settle_passthrough
from controller.translate.resources import Resources
from controller.translate.selection import select_ingresses
from controller.translate.servers import Servers
from controller.translate.stream import StreamServices
from controller.translate.tls import CertificateCache


def translate(
    snapshot: Snapshot,
    options: Options,
    *,
    now: int,
    kept: Mapping[str, Certificate] | None = None,
    cache: CertificateCache | None = None,
) -> Translation:
    """`now`: seconds since the epoch. `kept`: certificates served so far, by id. `cache` spares parsing them anew."""
    findings = Findings()
    main, closing = _main_settings(snapshot, options, findings)
    upstreams = Upstreams(snapshot, options, findings)
    resources = Resources(snapshot, options, upstreams)
    if options.configmap:
        main = with_named_objects(main, options.configmap, resources, findings)
    sources = _sources(resources, main, findings)
    for decoding in snapshot.findings.values():
        findings.items.extend(decoding)
    ownership = Ownership(snapshot, options, findings)
    allowed = ownership.of_catch_all(sources)
    hosts = ownership.keep(claims_by_host(allowed, findings))
    tell_strays(add_canaries(hosts, sources, findings), sources, findings)
    settle_backend_tls(hosts, share=not main.proxy_ssl_location_only)
    settle_passthrough(hosts, f"{options.annotations_prefix}/{SSL_PASSTHROUGH.name}", findings)
    certificates = Certificates(snapshot, options, findings, cache or CertificateCache(), kept or {}, now)
    servers = Servers(
        Locations(main, upstreams, findings, closing),
        upstreams,
        certificates,
        findings,
        ownership,
        _default_target(upstreams, options, main, findings),
        error_pages.of_everyone(main, resources),
    ).build(hosts, allowed)
    servers = settle_own_hosts(servers, f"{options.annotations_prefix}/auth-url", options.configmap, findings)
    default_certificate = certificates.default()
    streams = _streams(snapshot, options, findings, servers, upstreams, main)
    configuration = Configuration(
        main=main,
        servers=servers,
        upstreams=dict(sorted(upstreams.used.items())),
        certificates=dict(sorted(certificates.used.items())),
        default_certificate=default_certificate,
        main_origins=(options.configmap,) if options.configmap else (),
        health_check_path=options.health_check_path,
        files=resources.files,
        streams=streams,
    )
    references = References(
        frozenset(certificates.referenced | resources.secrets),
        frozenset(configuration.main_origins) | resources.configmaps | _stream_configmaps(options),
    )
    return Translation(configuration, Report.of(findings.items), references, tuple(s.key for s in sources))


def _stream_configmaps(options: Options) -> frozenset[ObjectKey]:
    return frozenset(filter(None, (options.tcp_services_configmap, options.udp_services_configmap)))


def _streams(
    snapshot: Snapshot,
    options: Options,
    findings: Findings,
    servers: Mapping[str, Server],
    upstreams: Upstreams,
    main: MainSettings,
) -> Streams:
    services = StreamServices(snapshot, options, findings)
    ports = services.servers()
    preread = options.enable_ssl_passthrough and options.has_stream
    hosts, of_hosts = passthrough_of(servers, upstreams.used, main) if preread else ((), {})
    return Streams(ports, hosts, dict(sorted({**services.upstreams, **of_hosts}.items())), preread)


def _main_settings(snapshot: Snapshot, options: Options, findings: Findings) -> tuple[MainSettings, tuple[str, ...]]:
    found = snapshot.configmaps.get(options.configmap) if options.configmap else None
    if found is None or options.configmap is None:
        return MainSettings(), ()
    settings, closing = settings_of(found.data, options.configmap, findings)
    if settings.allow_cross_namespace_resources and not options.allowed_secret_namespaces:
        findings.warning(
            "configmap-key-unsupported",
            options.configmap,
            FieldPath("data").key("allow-cross-namespace-resources"),
            "Every Ingress could name every Secret of the cluster; only namespaces of a list may be named.",
            Effect.SETTING_IGNORED,
            "Start the controller with --allowed-secret-namespaces=NAMESPACE,...",
        )
    return settings, closing


def _sources(resources: Resources, main: MainSettings, findings: Findings) -> tuple[Source, ...]:
    ingresses = select_ingresses(resources.snapshot, resources.options, findings)
    found = []
    for position, ingress in enumerate(ingresses):
        key = source_key(ingress)
        if not is_refused(ingress, key, findings):
            policy = policy_of(ingress, key, main, resources, findings)
            policy = restrained(policy, ingress, key, main, resources.options, findings)
            found.append(Source(key, ingress, policy, position))
    return tuple(found)


def _default_target(upstreams: Upstreams, options: Options, main: MainSettings, findings: Findings) -> Target | None:
    key: ObjectKey | None = options.default_backend_service
    if key is None:
        if main.custom_http_errors and options.configmap:
            findings.warning(
                "error-backend-missing",
                options.configmap,
                FieldPath("data").key("custom-http-errors"),
                "There is no --default-backend-service, so only Ingresses with default-backend have error pages.",
                Effect.SETTING_IGNORED,
            )
        return None
    target = upstreams.first_port(key)
    if target is None:
        findings.error(
            "default-backend-not-found",
            key,
            FieldPath("spec.ports"),
            "The Service of --default-backend-service does not exist or has no port.",
            Effect.PATH_UNSERVED,
        )
    return target
