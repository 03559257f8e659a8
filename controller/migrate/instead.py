"""What to use instead of names that are not carried out, and why a name is without effect.

Only names for which there is something to say; verdicts are the registry's.
"""

from __future__ import annotations

WAF = 'Put a web application firewall in front; allow-missing-waf: "true" in the ConfigMap serves without one.'
_TRACING = "Let pods make traces; access-log-format: json has times for each request."
_RATE = "limit-rps, limit-rpm and limit-connections count for each replica."

ANNOTATIONS: dict[str, str] = {
    "enable-modsecurity": WAF,
    "enable-owasp-core-rules": WAF,
    "modsecurity-transaction-id": WAF,
    "modsecurity-snippet": WAF,
    "auth-snippet": "auth-proxy-set-headers",
    "secure-backends": "backend-protocol: HTTPS",
    "grpc-backend": "backend-protocol: GRPC",
    "secure-verify-ca-secret": "proxy-ssl-secret with proxy-ssl-verify: on",
    "add-base-url": "Let the pod write the base tag, or serve it below the same path.",
    "base-url-scheme": "Let the pod write the base tag, or serve it below the same path.",
    "http2-push-preload": "nginx and browsers no longer push.",
    "session-cookie-hash": "It had no effect since 0.24.",
    "upstream-max-fails": "A request that failed on a pod goes to another one anyway (proxy-next-upstream).",
    "upstream-fail-timeout": "A request that failed on a pod goes to another one anyway (proxy-next-upstream).",
    "enable-opentracing": _TRACING,
    "enable-opentelemetry": _TRACING,
    "opentelemetry-trust-incoming-span": _TRACING,
    "opentelemetry-operation-name": _TRACING,
    "enable-influxdb": "Metrics for Prometheus are at /metrics.",
    "lua-resty-waf": WAF,
    "global-rate-limit": _RATE,
    "global-rate-limit-window": _RATE,
    "global-rate-limit-key": _RATE,
    "global-rate-limit-ignored-cidrs": "limit-allowlist",
    "ssl-passthrough": "End TLS here (spec.tls), with backend-protocol: HTTPS towards the pods.",
    "fastcgi-index": "Put an HTTP server beside the FastCGI program.",
}
"""By name without prefix: one sentence, or the annotation with its value."""

SETTINGS: dict[str, str] = {
    "enable-modsecurity": WAF,
    "enable-owasp-modsecurity-crs": WAF,
    "enable-brotli": "use-gzip",
    "brotli-level": "gzip-level",
    "brotli-types": "gzip-types",
    "brotli-min-length": "gzip-min-length",
    "allow-snippet-annotations": "Snippets are refused, always; the report names what replaces each directive.",
    "annotations-risk-level": "Every value is checked against its grammar, whatever its risk.",
    "enable-opentelemetry": _TRACING,
    "http2-max-field-size": "large-client-header-buffers",
    "http2-max-header-size": "large-client-header-buffers",
    "http2-max-requests": "keep-alive-requests",
    "lua-shared-dicts": "There is no Lua.",
    "use-geoip": "Let a load balancer or the pod look it up.",
    "use-geoip2": "Let a load balancer or the pod look it up.",
    "enable-ocsp": "Let clients check revocation; short-lived certificates need none.",
}

HARMLESS_FLAGS: dict[str, str] = {
    "enable-metrics": "Metrics are always at /metrics of --healthz-port.",
    "validating-webhook": "The admission policy of the chart takes its place.",
    "validating-webhook-certificate": "The admission policy of the chart takes its place.",
    "validating-webhook-key": "The admission policy of the chart takes its place.",
    "disable-full-test": "The admission policy of the chart takes its place.",
    "enable-annotation-validation": "Values are always checked.",
    "deep-inspect": "Values are always checked.",
    "annotations-risk-level": "Every value is checked against its grammar, whatever its risk.",
    "dynamic-configuration-retries": "There is no Lua.",
    "status-port": "There is no Lua.",
    "stream-port": "There is no Lua.",
    "internal-logger-address": "There is no chroot.",
    "profiling": "There is no profiler.",
    "profiler-port": "There is no profiler.",
    "profiler-address": "There is no profiler.",
    "sync-period": "Watches are enough.",
    "sync-rate-limit": "--reload-interval bounds reloads.",
    "health-check-timeout": "The probes of the chart have their own.",
    "exclude-socket-metrics": "Drop metrics in Prometheus.",
    "monitor-max-batch-size": "There is no Lua.",
    "logtostderr": "Logs go to standard error.",
    "alsologtostderr": "Logs go to standard error.",
    "stderrthreshold": "Logs go to standard error.",
    "default-server-port-v6": "The internal server listens on loopback.",
}
"""Flags without effect whose purpose is met in another way, so that nothing is missing."""

FLAGS: dict[str, str] = {
    "ssl-passthrough-proxy-port": "End TLS here (spec.tls), with backend-protocol: HTTPS towards the pods.",
    "enable-ssl-chain-completion": "Put the whole chain into the Secret; fetching it was a hole.",
    "enable-topology-aware-routing": "trafficDistribution of the Services, without nginx.",
    "maxmind-license-key": "Let a load balancer or the pod look it up.",
    "report-status-classes": "Group statuses in PromQL.",
}
