"""What users see differently here than with ingress-nginx, although it is carried out.

One line for each name, as a sentence that says what happens here and what happened there. The key is the name of an
annotation without its prefix, or `configmap:` and a key of the ConfigMap. `headrace migrate report` shows the lines for
what a user has; the page on compatibility lists them all. A name that is not carried out stands in the registry, not
here.
"""

from __future__ import annotations

DIFFERENCES: dict[str, str] = {
    "auth-always-set-cookie": (
        "A value that is not true or false closes the paths (503), where ingress-nginx served without authentication."
    ),
    "auth-cache-duration": (
        "Characters that do not belong there close the paths (503), where ingress-nginx served without authentication."
    ),
    "auth-cache-key": (
        "The host of the request and the URL that is asked belong to the key, so wildcard hosts share nothing."
    ),
    "auth-keepalive": (
        "It works with HTTP/2 as well. Without the annotation connections are kept as for all Services, where "
        "ingress-nginx kept none; 0 keeps none."
    ),
    "auth-proxy-set-headers": (
        "A name without a namespace is that of the Ingress. Variables are those of a closed list, such as "
        "$request_uri, $http_name and $cookie_name; others close the paths (503)."
    ),
    "auth-realm": "The realm off is shown as such, where ingress-nginx switched authentication off.",
    "auth-request-redirect": (
        "A value that cannot be used closes the paths (503), where ingress-nginx served without authentication. "
        "Variables of requests can be in it."
    ),
    "auth-secret": (
        "Without auth-type nobody is asked, and the owner is told. A Secret of another namespace is used where the "
        "operator lists that one (--allowed-secret-namespaces)."
    ),
    "auth-signin": "The sign-in page gets every cookie of the service, where ingress-nginx joined several into one.",
    "auth-tls-error-page": (
        "A host without a scheme is taken for https://, where ingress-nginx sent a relative address; @names are "
        "refused."
    ),
    "auth-tls-match-cn": (
        "A pattern that cannot be used closes the host (403), where ingress-nginx refused the Ingress. Over plain "
        "HTTP a host that only redirects to HTTPS redirects, where ingress-nginx answered 403."
    ),
    "auth-tls-secret": (
        "A Secret without ca.crt closes the host (403), where ingress-nginx let everyone in. A request whose Host "
        "is not the name of its handshake is answered 421 where either host asks for certificates. The headers "
        "ssl-client-* of clients never reach a pod. A change of the authorities also ends TLS sessions."
    ),
    "auth-type": "digest closes the paths (503): nginx has no module for it. Use basic over TLS, or auth-url.",
    "auth-url": (
        "The host is a name, or $host alone: then whoever serves the path on the same host is asked straight at its "
        "pods. Loopback, link-local and metadata addresses are refused. Variables are those of a closed list, and in "
        "the path and query only. A URL without a path asks for /. The service gets X-Forwarded-Host, and no "
        "X-Forwarded-Uri or X-Forwarded-Method of the client. Several cookies of its answer stay several."
    ),
    "backend-protocol": (
        "Lower-case grpc, grpcs and fcgi get all headers and timeouts, which ingress-nginx forgot. FastCGI "
        "applications get X-Forwarded-* and the rest as HTTP_*; a client's Proxy header never reaches them. Calls "
        "of gRPC are never held, since nginx keeps none of their messages."
    ),
    "cors-allow-origin": (
        "Vary: Origin is sent wherever an origin is echoed. Origins must match as a whole: ingress-nginx looked at the "
        "end only, so that null also let in https://x.null. A value that is no list of origins means no CORS headers."
    ),
    "custom-headers": (
        "The ConfigMap must be in the namespace of the Ingress, and may be named without it. Headers that frame a "
        "message (Content-Length, Connection and the like) close the paths (503). Server and Date are replaced only "
        "where nginx has the module headers-more; pages of nginx itself keep their Content-Type."
    ),
    "custom-http-errors": (
        "The error backend gets the method and the query, never the body. Without any Service for error pages answers "
        "stay as they are, where ingress-nginx made all of them a 404. A wrong list is ignored and told; ingress-nginx "
        "refused the Ingress."
    ),
    "configmap:custom-http-errors": (
        "Without any Service for error pages answers stay as they are, where ingress-nginx made all of them a 404."
    ),
    "default-backend": (
        "Takes over and steps back within a second as pods go and come, without a reload. While the last pods still "
        "refuse connections requests are held first. Pods of such an Ingress see the header X-Headrace-Default-Backend."
    ),
    "enable-cors": (
        "A preflight has no Content-Length and no Content-Type, as RFC 9110 wants it for 204. What a pod says in "
        "Access-Control-* is hidden from origins that are not let in too."
    ),
    "mirror-target": (
        "A target that is wrong in any way gets nothing. Loopback, link-local and metadata addresses are refused, also "
        "after resolution. Without a path the copy asks for $request_uri. $uri is the path as it was sent; variables "
        "are of a closed list and only in the path. Copies carry X-Forwarded-* like requests to pods."
    ),
    "mirror-request-body": "With off the copy has no Content-Length either, so that no mirror waits for a body.",
    "fastcgi-params-configmap": (
        "A ConfigMap of another namespace closes the paths (503), where ingress-nginx ignored it. Variables in "
        "values are of a closed list."
    ),
    "ssl-passthrough": (
        "Connections go straight to pods. Lists of addresses hold for them, too (whitelist-, allowlist-, "
        "denylist-source-range, block-cidrs): who is refused is hung up on. Other annotations have no say, as before."
    ),
    "configmap:proxy-protocol-header-timeout": (
        "For TCP services and, with --enable-ssl-passthrough, for the HTTPS port; HTTP waits for client-header-timeout."
    ),
    "configmap:use-proxy-protocol": "--plain-http-port and --plain-https-port add listeners that never expect it.",
    "proxy-ssl-ciphers": (
        "Names that OpenSSL does not know are left out and told; honoured without proxy-ssl-secret too."
    ),
    "proxy-ssl-name": "Honoured without proxy-ssl-secret too. Without it the Host sent to the pod counts.",
    "proxy-ssl-protocols": "Honoured without proxy-ssl-secret too, which ingress-nginx ignored.",
    "proxy-ssl-secret": (
        "Other Ingresses of the host share the Secret only if they are of the same namespace. It counts for GRPCS "
        "too, which ingress-nginx forgot. It may hold ca.crt alone, or a certificate alone."
    ),
    "proxy-ssl-server-name": "Honoured without proxy-ssl-secret too, which ingress-nginx ignored.",
    "proxy-ssl-verify": "A verification without ca.crt, or an invalid value, closes the paths (503).",
    "ssl-ciphers": "Names that OpenSSL does not know are left out and told; ingress-nginx refused them all.",
    "affinity": (
        "A cookie is a digest of the pod's address, the same on every replica; one of ingress-nginx counts as none, so "
        "a client gets a new one once. A client whose pod is gone keeps its cookie: a consistent hash of it names "
        "another pod, which later scaling can change for such clients alone. Names of attributes are in lower case. An "
        "Ingress's default backend gives no cookies."
    ),
    "affinity-mode": "Both modes are persistent: a client stays for as long as its pod is there.",
    "canary": (
        "A canary belongs to the one host, path and pathType of its rules, and to Ingresses of its own namespace "
        "(--allow-cross-namespace-canaries lifts that); ingress-nginx took all paths of the main Service. Default "
        "backends share nothing."
    ),
    "canary-by-header-pattern": (
        "An expression that is broken or could be very slow is told, and the header decides nothing then."
    ),
    "canary-weight": "Shares have two decimals; the smallest is 0.01 %.",
    "load-balance": (
        "Each Ingress has its own method, also where Ingresses share a Service. ewma is nginx's least_time: pods whose "
        "answers take alike take turns. least_conn and random are accepted, too."
    ),
    "service-upstream": (
        "Requests are not held for pods, which nobody sees behind the Service's address. Each Ingress decides for "
        "itself."
    ),
    "session-cookie-change-on-failure": (
        "With true every answer carries the cookie. With false a client whose pod fails is served by another one, and "
        "returns to its own later; ingress-nginx kept asking the same."
    ),
    "session-cookie-domain": "Only DNS names are taken.",
    "session-cookie-expires": (
        "Expires and Max-Age are always both there, and alike; where both annotations are, session-cookie-max-age "
        "counts."
    ),
    "session-cookie-name": "Letters, digits and - . _ ~ are taken: other characters are none of a cookie's name.",
    "session-cookie-path": "Without it the path of the location counts, or / where that is an expression.",
    "session-cookie-secure": "The scheme is that of X-Forwarded-Proto where that is trusted.",
    "upstream-hash-by": (
        "Which key gets which pod differs, so a migration shuffles once. Variables are of a closed list. Each Ingress "
        "has its own key, also where Ingresses share a Service."
    ),
    "upstream-hash-by-subset": (
        "Each key has its own pods, as many as the size at the most, instead of one of a few fixed groups of pods."
    ),
    "configmap:add-headers": (
        "A header takes the place of the pod's own of that name. Variables are those of log formats without "
        "$remote_user, and $uri is the path as it was sent. Names of more than 40 characters are left out; Server and "
        "Date are replaced only where nginx has the module headers-more."
    ),
    "configmap:proxy-set-headers": (
        "A header replaces ours of that name, where ingress-nginx sent both. Variables as with add-headers; headers "
        "that frame a message are left out."
    ),
    "configmap:block-user-agents": "A list that cannot be used closes every route (503), where it broke nginx.",
    "configmap:block-referers": "A list that cannot be used closes every route (503), where it broke nginx.",
    "configmap:enable-aio-write": "Off unless it is set, where ingress-nginx had it on.",
    "configmap:reuse-port": "Off unless it is set, where ingress-nginx had it on.",
    "configmap:bind-address": "An address that the machine does not have keeps nginx from taking the configuration.",
    "configmap:syslog-host": "An address: a name that cannot be resolved would keep nginx from starting.",
    "configmap:access-log-path": "/dev/stdout, /dev/stderr, a file below /var/log/nginx, or syslog with an address.",
    "configmap:error-log-path": "/dev/stdout, /dev/stderr, a file below /var/log/nginx, or syslog with an address.",
    "configmap:ssl-ecdh-curve": "A closed list: a group that OpenSSL does not know would keep nginx from starting.",
    "configmap:ssl-dh-param": "Parameters of fewer than 2048 or more than 8192 bits are left out and told.",
    "configmap:ssl-early-data": "Pods see the header Early-Data: 1 (RFC 8470) on what could be sent twice.",
    "configmap:map-hash-bucket-size": "Sizes of tables are lower bounds: what our own names need counts at least.",
    "configmap:nginx-status-ipv4-whitelist": (
        "/nginx_status exists only where nginx has the module stub_status; the metrics of the controller tell more."
    ),
    "configmap:enable-serial-reloads": "Waits at most an hour.",
    "configmap:upstream-keepalive-connections": (
        "Of each port of a Service and worker, where it was one number for all pods of the cluster: with many of "
        "them each gets its share of 20,000, rounded down to a power of two, at least 8."
    ),
}
