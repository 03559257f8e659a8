"""Every key of ingress-nginx's ConfigMap has a verdict, as every annotation has."""

from __future__ import annotations

UNSUPPORTED = frozenset(
    """
    access-log-params add-headers allow-backend-server-header
    allow-snippet-annotations app-root bind-address
    brotli-level brotli-min-length brotli-types datadog-collector-host debug-connections
    default-type disable-http-access-log disable-ipv6-dns
    enable-aio-write enable-auth-access-log enable-brotli enable-modsecurity enable-ocsp enable-opentelemetry
    enable-opentracing enable-owasp-modsecurity-crs enable-serial-reloads enable-syslog error-log-path
    forwarded-for-proxy-protocol-header forwarded-host-header geoip2-autoreload-in-minutes
    global-auth-snippet global-rate-limit-memcached-connect-timeout
    global-rate-limit-memcached-host global-rate-limit-memcached-max-idle-timeout
    global-rate-limit-memcached-pool-size global-rate-limit-memcached-port global-rate-limit-status-code
    grpc-buffer-size-kb gzip-disable gzip-types hide-headers http-access-log-path http-snippet http2-max-field-size
    http2-max-header-size http2-max-requests jaeger-baggage-header jaeger-collector-host jaeger-collector-port
    jaeger-debug-header jaeger-endpoint jaeger-propagation-format jaeger-sampler-host jaeger-sampler-param
    jaeger-sampler-port jaeger-sampler-type jaeger-service-name jaeger-trace-context-header-name
    jaeger-tracer-baggage-header-prefix
    location-snippet lua-shared-dicts main-snippet
    map-hash-bucket-size max-worker-open-files modsecurity-snippet nginx-status-ipv4-whitelist
    nginx-status-ipv6-whitelist opentelemetry-config opentelemetry-operation-name
    opentelemetry-trust-incoming-span otel-max-export-batch-size otel-max-queuesize otel-sampler
    otel-sampler-parent-based otel-sampler-ratio otel-schedule-delay-millis otel-service-name otlp-collector-host
    otlp-collector-port proxy-headers-hash-bucket-size
    proxy-headers-hash-max-size
    proxy-set-headers
    reuse-port server-name-hash-bucket-size server-name-hash-max-size server-snippet
    skip-access-log-urls ssl-dh-param ssl-early-data ssl-ecdh-curve ssl-session-ticket-key
    stream-snippet syslog-host syslog-port upstream-hash-by upstream-hash-by-subset
    upstream-hash-by-subset-size upstream-keepalive-time use-geoip use-geoip2 variables-hash-bucket-size
    variables-hash-max-size worker-cpu-affinity zipkin-collector-host
    """.split()
)
"""Known keys without effect in this version."""
