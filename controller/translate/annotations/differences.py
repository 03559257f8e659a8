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
}
