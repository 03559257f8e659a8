"""The flags of `headrace run`, and which of ingress-nginx's flags are accepted without effect."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from controller.cli.reload_flags import add_reload_flags, reload_limits_of
from controller.model.errors import UsageError
from controller.model.options import HostOwnership, Options
from controller.model.refs import Kind
from controller.settings import Settings, default_state_dir, object_key, pod_identity
from controller.translate.annotations import values
from controller.translate.labels import LabelSelector

T = TypeVar("T")

WITHOUT_EFFECT = """
    annotations-risk-level bucket-factor certificate-authority default-server-port-v6 deep-inspect disable-full-test
    dynamic-configuration-retries enable-annotation-validation enable-metrics enable-ssl-chain-completion
    enable-topology-aware-routing exclude-socket-metrics health-check-timeout
    internal-logger-address length-buckets size-buckets time-buckets max-buckets maxmind-edition-ids
    maxmind-license-key maxmind-mirror maxmind-retries-count maxmind-retries-timeout metrics-per-host
    metrics-per-undefined-host monitor-max-batch-size profiler-address profiler-port profiling
    report-status-classes ssl-passthrough-proxy-port status-port stream-port sync-period sync-rate-limit
    validating-webhook validating-webhook-certificate validating-webhook-key logtostderr alsologtostderr
    stderrthreshold vmodule log_dir log_file
""".split()
"""Flags of ingress-nginx that are taken so that old arguments start the program, and are named in a warning."""


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    source = parser.add_argument_group("where objects come from")
    source.add_argument("--manifests", type=Path, metavar="DIR", help="YAML files, watched; no cluster is needed")
    source.add_argument("--kubeconfig", default="", metavar="FILE", help="cluster to watch; default: the one we run in")
    source.add_argument("--apiserver-host", default="", metavar="URL", help="address of the API server")
    add_selection_flags(parser)
    _add_data_plane_flags(parser)
    _add_status_flags(parser)
    _add_observation_flags(parser)
    for name in WITHOUT_EFFECT:
        parser.add_argument(f"--{name}", nargs="?", const="true", dest=f"ignored:{name}", help=argparse.SUPPRESS)


def add_selection_flags(parser: argparse.ArgumentParser) -> None:
    """Which objects count; shared by `run`, `render`, `lint` and `explain`."""
    group = parser.add_argument_group("which objects count")
    add = group.add_argument
    add("--ingress-class", default="nginx", metavar="NAME", help="class of the legacy annotation (default: nginx)")
    add(
        "--controller-class",
        default="headrace.dev/ingress",
        metavar="VALUE",
        help="spec.controller of the IngressClasses to serve; k8s.io/ingress-nginx adopts those of ingress-nginx",
    )
    _add_switch(group, "--ingress-class-by-name", "also serve the IngressClass named by --ingress-class")
    _add_switch(group, "--watch-ingress-without-class", "serve Ingresses that name no class")
    add("--watch-namespace", default="", metavar="NS", help="serve this namespace only")
    add("--watch-namespace-selector", default="", metavar="SEL", help="serve namespaces with these labels only")
    add("--annotations-prefix", default="nginx.ingress.kubernetes.io", metavar="PREFIX", help="prefix of annotations")
    add("--configmap", default="", metavar="NS/NAME", help="ConfigMap with the global settings")
    add("--default-backend-service", default="", metavar="NS/NAME", help="Service for requests that nothing matches")
    add("--default-ssl-certificate", default="", metavar="NS/NAME", help="TLS Secret where no host has its own")
    add("--health-check-path", default="/healthz", metavar="PATH", help="path that unknown hosts answer 200 on")
    add(
        "--host-ownership",
        default=HostOwnership.OFF,
        choices=[str(each) for each in HostOwnership],
        help="who may use a host: every namespace (off), the one of its oldest Ingress (first-come), or those whose "
        "Namespace object declares it (annotation headrace.dev/hosts)",
    )
    add(
        "--allowed-secret-namespaces",
        default="",
        metavar="NS[,NS]",
        help="namespaces whose Secrets and ConfigMaps annotations of every namespace may name",
    )
    add("--tcp-services-configmap", default="", metavar="NS/NAME", help="ConfigMap of ports for TCP services")
    add("--udp-services-configmap", default="", metavar="NS/NAME", help="ConfigMap of ports for UDP services")
    _add_switch(group, "--enable-ssl-passthrough", "let Ingresses have TLS passed through to their pods")
    _add_switch(group, "--disable-catch-all", "ignore Ingresses with spec.defaultBackend")
    _add_switch(group, "--disable-svc-external-name", "answer 503 for Services of type ExternalName")


def options_of(args: argparse.Namespace, *, manifests: bool) -> Options:
    """Raises `UsageError` for a flag that is not of its form."""
    if args.watch_namespace and args.watch_namespace_selector:
        raise UsageError("--watch-namespace and --watch-namespace-selector exclude each other")
    try:
        LabelSelector.parse(args.watch_namespace_selector)
    except ValueError as error:
        raise UsageError(f"--watch-namespace-selector: {error}") from error
    return Options(
        ingress_class=args.ingress_class,
        controller_class=args.controller_class,
        ingress_class_by_name=args.ingress_class_by_name,
        watch_ingress_without_class=args.watch_ingress_without_class,
        manifests=manifests,
        watch_namespace=args.watch_namespace,
        watch_namespace_selector=args.watch_namespace_selector,
        annotations_prefix=args.annotations_prefix,
        disable_catch_all=args.disable_catch_all,
        disable_svc_external_name=args.disable_svc_external_name,
        configmap=object_key(Kind.CONFIG_MAP, "--configmap", args.configmap),
        default_backend_service=object_key(Kind.SERVICE, "--default-backend-service", args.default_backend_service),
        default_ssl_certificate=object_key(Kind.SECRET, "--default-ssl-certificate", args.default_ssl_certificate),
        health_check_path=args.health_check_path,
        tcp_services_configmap=object_key(Kind.CONFIG_MAP, "--tcp-services-configmap", args.tcp_services_configmap),
        udp_services_configmap=object_key(Kind.CONFIG_MAP, "--udp-services-configmap", args.udp_services_configmap),
        enable_ssl_passthrough=args.enable_ssl_passthrough,
        reserved_ports=_reserved_ports(args),
        allowed_secret_namespaces=_namespaces(args.allowed_secret_namespaces),
        host_ownership=HostOwnership(args.host_ownership),
        allow_local_external_names=getattr(args, "allow_local_external_names", False),
        allow_cross_namespace_canaries=getattr(args, "allow_cross_namespace_canaries", False),
    )


def settings_of(args: argparse.Namespace) -> Settings:
    """Raises `UsageError` for flags that are wrong or do not go together."""
    if args.publish_service and args.publish_status_address:
        raise UsageError("--publish-service and --publish-status-address exclude each other")
    _refuse_same_ports(args)
    pod_name, pod_namespace = pod_identity()
    in_cluster = args.manifests is None and bool(pod_name)
    return Settings(
        options=options_of(args, manifests=args.manifests is not None),
        manifests=args.manifests,
        kubeconfig=args.kubeconfig,
        apiserver_host=args.apiserver_host,
        nginx=args.nginx,
        state_dir=(args.state_dir or default_state_dir()).absolute(),
        http_port=args.http_port,
        https_port=args.https_port,
        plain_http_port=args.plain_http_port,
        plain_https_port=args.plain_https_port,
        public_https_port=args.public_https_port or (443 if in_cluster else args.https_port),
        bind_addresses=_addresses(args.bind_address),
        default_server_port=args.default_server_port,
        reloads=reload_limits_of(args),
        shutdown_grace_period=args.shutdown_grace_period,
        post_shutdown_grace_period=args.post_shutdown_grace_period,
        access_log=args.access_log,
        allow_local_external_names=args.allow_local_external_names,
        healthz_host=args.healthz_host,
        healthz_port=args.healthz_port,
        log_format=args.log_format,
        verbosity=args.v,
        publish_service=object_key(Kind.SERVICE, "--publish-service", args.publish_service),
        publish_status_addresses=tuple(a.strip() for a in args.publish_status_address.split(",") if a.strip()),
        report_node_internal_ip_address=args.report_node_internal_ip_address,
        update_status=args.update_status,
        update_status_on_shutdown=args.update_status_on_shutdown,
        status_update_interval=max(5.0, args.status_update_interval),
        election_id=args.election_id,
        election_ttl=args.election_ttl if args.election_ttl > 0 else 30.0,
        leader_election=not args.disable_leader_election,
        sync_events=not args.disable_sync_events,
        pod_name=pod_name,
        pod_namespace=pod_namespace,
        shadow=args.shadow,
    )


_LISTENERS = ("http_port", "https_port", "plain_http_port", "plain_https_port")
_RESERVED_BY_INGRESS_NGINX = (442, 8181, 10_245, 10_246, 10_247)
"""Its --ssl-passthrough-proxy-port, --default-server-port, --profiler-port, --status-port and --stream-port."""


def _refuse_same_ports(args: argparse.Namespace) -> None:
    ports = [(getattr(args, name), f"--{name.replace('_', '-')}") for name in _LISTENERS]
    for number, (port, flag) in enumerate(ports):
        for other, same in ports[:number]:
            if port and port == other:
                raise UsageError(f"{same} and {flag} are the same")


def _reserved_ports(args: argparse.Namespace) -> tuple[tuple[int, str], ...]:
    """Ports that no TCP or UDP service may have; those of ingress-nginx stay reserved, so that a move back works."""
    defaults = {"http_port": 80, "https_port": 443, "healthz_port": 10_254}
    names = (*_LISTENERS, "healthz_port", "default_server_port")
    own = [(getattr(args, name, defaults.get(name, 0)), f"--{name.replace('_', '-')}") for name in names]
    kept = [(port, "reserved by ingress-nginx") for port in _RESERVED_BY_INGRESS_NGINX]
    return tuple((port, what) for port, what in (*kept, *own) if port)


def ignored_flags(args: argparse.Namespace) -> tuple[str, ...]:
    """Flags that were given and have no effect."""
    given = (name for name, value in vars(args).items() if name.startswith("ignored:") and value is not None)
    return tuple(f"--{name.removeprefix('ignored:')}" for name in given)


def flag_names() -> tuple[frozenset[str], frozenset[str]]:
    """Flags of `run` that do something, and those that are accepted without effect; without dashes."""
    parser = argparse.ArgumentParser(add_help=False)
    add_run_flags(parser)
    listed = {option.lstrip("-") for action in parser._actions for option in action.option_strings}
    return frozenset(listed - set(WITHOUT_EFFECT)), frozenset(WITHOUT_EFFECT)


def _add_data_plane_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data plane")
    add = group.add_argument
    add("--http-port", type=_port, default=80, metavar="PORT", help="listener for HTTP (default: 80)")
    add("--https-port", type=_port, default=443, metavar="PORT", help="listener for HTTPS (default: 443)")
    add(
        "--public-https-port",
        type=_port,
        default=0,
        metavar="PORT",
        help="HTTPS port as clients see it, for redirects (default: 443 in a pod, else --https-port)",
    )
    add("--plain-http-port", type=_port, default=0, metavar="PORT", help="HTTP that is never in the PROXY protocol")
    add("--plain-https-port", type=_port, default=0, metavar="PORT", help="HTTPS that is never in the PROXY protocol")
    add("--bind-address", default="", metavar="IP[,IP]", help="addresses to listen on (default: all)")
    add("--state-dir", type=Path, metavar="DIR", help="where generations and certificates are kept")
    add("--nginx", default="", metavar="FILE", help="nginx binary (default: the embedded one, else PATH)")
    add("--default-server-port", type=_port, default=0, metavar="PORT", help="loopback port of the internal 503 server")
    add("--access-log", default="/dev/stdout", metavar="FILE", help="access log where the ConfigMap names none")
    add_reload_flags(parser)
    add("--shutdown-grace-period", type=_time, default=0.0, metavar="SEC", help="wait before nginx is asked to quit")
    add("--post-shutdown-grace-period", type=_time, default=0.0, metavar="SEC", help="wait after nginx has ended")
    _add_switch(group, "--allow-local-external-names", "let ExternalName Services reach loopback and link-local")
    _add_switch(group, "--allow-cross-namespace-canaries", "let canaries share requests of other namespaces")


def _add_status_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("status of Ingresses")
    add = group.add_argument
    add("--publish-service", default="", metavar="NS/NAME", help="Service whose addresses go into the status")
    add("--publish-status-address", default="", metavar="ADDR[,ADDR]", help="addresses that go into the status")
    _add_switch(group, "--report-node-internal-ip-address", "use internal addresses of nodes")
    _add_switch(group, "--update-status", "write the status (default: true)", default=True)
    _add_switch(group, "--update-status-on-shutdown", "clear it when the last pod ends (default: true)", default=True)
    add("--status-update-interval", type=_time, default=60.0, metavar="SEC", help="seconds between checks, at least 5")
    add("--election-id", default="ingress-controller-leader", metavar="NAME", help="name of the Lease")
    add("--election-ttl", type=_time, default=30.0, metavar="SEC", help="how long a Lease lasts (default: 30)")
    _add_switch(group, "--disable-leader-election", "every replica writes the status")
    _add_switch(group, "--disable-sync-events", "no Sync events on Ingresses")
    _add_switch(group, "--shadow", "beside another controller: read and serve, write no status, no Events, no Lease")


def _add_observation_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("health, metrics and logs")
    add = group.add_argument
    add("--healthz-port", type=_port, default=10254, metavar="PORT", help="/healthz /readyz /metrics (default: 10254)")
    add("--healthz-host", default="", metavar="IP", help="address of that port (default: all)")
    add("--log-format", choices=("auto", "text", "json"), default="auto", help="auto: text on a terminal, else JSON")
    add("-v", "--v", type=int, default=2, metavar="N", help="verbosity as klog has it; 4 and more is debug")


def _add_switch(group: argparse._ArgumentGroup, name: str, text: str, *, default: bool = False) -> None:
    group.add_argument(name, nargs="?", const=True, default=default, type=_boolean, metavar="BOOL", help=text)


def _checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """The parser as argparse wants it: its reason becomes the message."""

    def check(text: str) -> T:
        try:
            return parse(text)
        except ValueError as reason:
            raise argparse.ArgumentTypeError(f"{text!r} is not valid: {reason}") from reason

    return check


_boolean = _checked(values.boolean)
_port = _checked(values.integer(0, 65_535))
_time = _checked(lambda text: float(values.seconds(text)))


def _namespaces(text: str) -> tuple[str, ...]:
    """Raises `UsageError` for what is no name of a namespace."""
    found = tuple(item.strip() for item in text.split(",") if item.strip())
    if any(not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name) for name in found):
        raise UsageError("--allowed-secret-namespaces takes names of namespaces with commas between")
    return found


def _addresses(text: str) -> tuple[str, ...]:
    """IPv6 addresses in brackets, as nginx wants them. Raises `UsageError` for anything that is no address."""
    found = tuple(item.strip().strip("[]") for item in text.split(",") if item.strip())
    try:
        networks = values.cidrs(",".join(found))
    except ValueError as error:
        raise UsageError(f"--bind-address: {error}") from error
    if any(not n.endswith(("/32", "/128")) for n in networks):
        raise UsageError("--bind-address takes addresses, not networks")
    return tuple(f"[{a}]" if ":" in a else a for a in found)
