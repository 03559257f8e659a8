"""Directives that nothing takes the place of, with the reason, and those that are not needed. Names are expressions."""

from __future__ import annotations

_LUA_TOLD = "There is no Lua in this controller: the program has to move into a pod."
NONE: tuple[tuple[str, str], ...] = (
    (r"\w+_by_lua(_block|_file)?|lua_\w+|js_\w+|perl\w*|access_by_\w+", _LUA_TOLD),
    (r"modsecurity\w*|SecRule\w*|Sec[A-Z]\w*", "There is no web application firewall here: put one in front."),
    (r"sub_filter\w*|subs_filter\w*|addition_\w+|ssi\w*", "Bodies are passed on as they are: let the pod write them."),
    (r"brotli\w*", "Stock nginx has no Brotli; use-gzip compresses with gzip."),
    (r"geoip2?\w*", "Stock nginx has no GeoIP; let a load balancer or the pod look it up."),
    (
        r"(open)?tele\w+|otel_\w+|opentracing\w*|jaeger\w*|zipkin\w*",
        "Traces are not made here.",
    ),
    (
        r"proxy_cache\w*|fastcgi_cache\w*|proxy_store\w*",
        "Answers are not cached: put a cache in front.",
    ),
    (
        r"map|geo|split_clients|set|break",
        "Annotations cannot use variables of your own.",
    ),
    (r"upstream|server", "Upstreams and servers are made from Services and Ingresses; write one for it."),
    (r"alias|root|try_files|index|autoindex", "The controller serves no files: a pod does."),
    (r"proxy_method|proxy_pass_request_(body|headers)|proxy_set_body", "Requests are passed on as they are."),
    (
        r"proxy_ssl_(certificate\w*|trusted_certificate|crl)",
        "proxy-ssl-secret names a Secret with them.",
    ),
    (r"ssl_(client_certificate|trusted_certificate|crl)", "The annotation auth-tls-secret names a Secret with the CA."),
    (r"ssl_certificate\w*", "The certificate of a host is the Secret in spec.tls of its Ingress."),
    (r"ssl_dhparam", "The key ssl-dh-param of the ConfigMap names a Secret with it."),
    (r"ssl_stapling\w*", "Answers of OCSP are not stapled."),
    (r"include|load_module", "Files of the old image are not here; what they say has to be written as settings."),
    (r"listen", "The ports are those of the controller (--http-port, --https-port, values of the chart)."),
    (
        r"internal|types|charset\w*|etag|if_modified_since|max_ranges|merge_slashes",
        "It stays as nginx has it.",
    ),
    (
        r"valid_referers|secure_link\w*|auth_jwt\w*|auth_digest\w*",
        "Let a service behind auth-url check it.",
    ),
    (
        r"send_timeout|lingering_\w+|reset_timedout_connection|client_body_in_\w+",
        "It stays as nginx has it.",
    ),
    (
        r"proxy_ignore_headers|proxy_pass_header|proxy_limit_rate|proxy_temp_\w+|proxy_force_ranges",
        "It cannot be set here.",
    ),
    (r"fastcgi_\w+", "fastcgi-params-configmap sets parameters; nothing else of FastCGI can be set."),
    (r"uwsgi_\w+|scgi_\w+|memcached_\w+", "Pods are reached by HTTP, gRPC and FastCGI only."),
)
NEEDLESS: tuple[tuple[str, str], ...] = (
    (r"resolver\w*", "Names are resolved by the controller."),
    (r"real_ip_recursive", "It is always on where a header names the client."),
    (r"limit_conn_zone|limit_\w+_(log_level|dry_run)", "The zone is made by limit-connections."),
    (r"ssl_session_cache", "Sessions are kept in shared memory (ssl-session-cache-size)."),
    (r"gzip_(vary|proxied|http_version|static)|gunzip", "use-gzip sets it."),
    (r"tcp_nodelay|tcp_nopush|sendfile\w*|aio\w*|directio\w*|chunked_transfer_encoding", "It is set well."),
    (r"http2_push\w*", "nginx and browsers no longer push."),
    (
        r"recursive_error_pages|uninitialized_variable_warn|log_not_found|log_subrequest",
        "Clients see no difference.",
    ),
    (r"open_log_file_cache|open_file_cache\w*|proxy_headers_hash\w*|variables_hash_bucket_size", "It is set well."),
)
