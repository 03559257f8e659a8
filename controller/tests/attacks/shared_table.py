"""What must come of every object of the attack corpus that some checkouts have beside them, file by file.

A row is: name of the Ingress, codes of which it is told at least one (`-`: none is asked for), and who answers
`http://NAME.example.com/PATH`: `b` the attacker's own pod (the attack has no effect), `a` the victim's pod, or a
status; `|` stands between what is right.

Rows say what the header of the file demands. `rejected` is a finding and an answer that is nothing of the attack; for a
security setting it is never the pod.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One object and what becomes of it."""

    name: str
    told: frozenset[str]
    answers: frozenset[str]
    path: str


_INVALID = "annotation-invalid"
_CLOSED = "annotation-closes-route"
_EITHER = f"{_INVALID}|{_CLOSED}"
_PATH = "path-invalid|path-regex-invalid|ingress-forbidden-text"
_INERT = "b|404|503"
_SHUT = "503|403|401"

_FILES = f"""
alias-annotation-risk
  alias-both - 403
  alias-empty - 403
annotation-near-miss
  nm-1 annotation-unknown b
  nm-2 annotation-unknown b
  nm-3 annotation-unknown b
auth-secret-content
  hp-1 - 401
  hp-2 - 401|503
canary-hijack
  canary-steal canary-without-main|canary-ignored|annotation-unsupported|canary-refused -
cve-2021-25742-snippet
  snip-conf annotation-refused {_INERT}
  snip-server annotation-refused {_INERT}
  snip-stream annotation-refused {_INERT}
  snip-auth annotation-refused {_INERT}
  snip-modsec annotation-refused 503
cve-2021-25745-path-file
  path-file-1 {_PATH} 404 /x
  path-file-2 {_PATH} 404 /x
  path-file-3 {_PATH} 404 /etc/nginx/nginx.conf;
cve-2021-25746-annotation-directives
  dir-conn {_INVALID} {_INERT}
  dir-buf {_INVALID} {_INERT}
  dir-size {_INVALID} {_INERT}
  dir-proto {_EITHER} {_INERT}
  dir-int {_INVALID} {_INERT}
  dir-bool {_INVALID} {_INERT}
cve-2021-25748-path-newline
  path-nl-lf {_PATH} 404 /x
  path-nl-cr {_PATH} 404 /x
  path-nl-tab {_PATH} 404 /x
  path-nl-u2028 {_PATH} 404 /x
  path-nl-nul {_PATH} 404 /x
cve-2022-4886-path-directives
  path-dir-1 {_PATH} 404 /x
  path-dir-2 {_PATH} 404 /x
  path-dir-3 {_PATH} 404 /x
cve-2023-5043-snippet-when-allowed
  snip-allowed annotation-refused {_INERT}
cve-2023-5044-permanent-redirect
  redir-1 {_INVALID} {_INERT}
  redir-2 {_INVALID} {_INERT}
  redir-3 {_INVALID} {_INERT}
  redir-4 {_INVALID} {_INERT}
  redir-5 {_INVALID} {_INERT}
  redir-6 {_INVALID} {_INERT}
cve-2024-7646-carriage-return
  cr-1 {_EITHER} {_INERT}
  cr-2 {_INVALID} {_INERT}
  cr-3 {_INVALID} {_INERT}
  cr-4 {_INVALID} {_INERT}
  cr-5 {_INVALID} {_INERT}
cve-2025-1097-auth-tls-match-cn
  cn-1 {_CLOSED} {_SHUT}|308
  cn-2 {_CLOSED} {_SHUT}|308
  cn-3 {_CLOSED} {_SHUT}|308
  cn-4 {_CLOSED} {_SHUT}|308
cve-2025-1098-mirror
  mirror-1 {_INVALID} {_INERT}
  mirror-2 {_INVALID} {_INERT}
  mirror-3 {_INVALID} {_INERT}
  mirror-4 {_INVALID} {_INERT}
  mirror-uid object-unreadable 404
cve-2025-15566-auth-proxy-set-headers
  apsh {_CLOSED} 503
cve-2025-24514-auth-url
  authurl-1 {_CLOSED} 503
  authurl-2 {_CLOSED} 503
  authurl-3 {_CLOSED} 503
  authurl-4 {_CLOSED} 503
  authurl-5 {_CLOSED} 503
  authurl-6 {_CLOSED} 503
cve-2026-1580-auth-method
  am-1 {_CLOSED} 503
  am-2 {_CLOSED} 503
  am-3 {_CLOSED} 503
  am-4 {_CLOSED} 503
cve-2026-24512-path-quoting
  pq-1 {_PATH} 404 /x
  pq-2 {_PATH} 404 /x
  pq-3 {_PATH} 404 /x
  pq-4 {_PATH} 404 /x
  pq-5 {_PATH} 404 /x
cve-2026-3288-rewrite-path-quote
  rwq-1 {_PATH} 404 /x
  rwq-2 {_PATH} 404 /x
  rwq-3 {_INVALID} {_INERT} /x
cve-2026-4342-path-in-comment
  cmt-1 {_PATH} 404 /x
  cmt-2 {_PATH} 404 /x
fail-open-auth
  fo-1 {_CLOSED} 503
  fo-2 {_CLOSED} 503
  fo-3 {_CLOSED} 503
  fo-4 {_CLOSED} 503
  fo-5 {_CLOSED} 503|401
freeze-config
  fz-1 {_INVALID} b
  fz-2 {_INVALID} b
  fz-3 {_INVALID} b
  fz-4 {_INVALID}|annotation-ignored b
  fz-5 {_INVALID}|annotation-ignored b
  fz-6 {_INVALID} b
  fz-7 {_INVALID} b
  fz-8 {_INVALID} b
  fz-9 {_CLOSED} 503
  fz-10 {_INVALID} b
  fz-11 {_CLOSED} 503
  fz-12 {_PATH} 404 /x
  fz-13 {_PATH} 404 /x
  fz-14 {_PATH}|refused-by-nginx 404|503 /x
  fz-15 {_PATH} 404 /x
  fz-16 - b|503 /x
  fz-17 {_INVALID} b /x
  fz-18 - b /x
freeze-duplicates
  dup-1 path-taken b /a
  dup-2 - b
  dup-5 - b|404 /_external-auth-Lw-Prefix
  dup-6 - b|404 /@signin
inject-auth-extra
  ax-1 {_CLOSED} 503
  ax-2 {_CLOSED} 503
  ax-3 {_CLOSED} 503
  ax-4 {_CLOSED} 503
  ax-5 {_CLOSED} 503
  ax-6 {_CLOSED} 503
  ax-7 {_CLOSED} 503
  ax-8 {_CLOSED} 503
  ax-9 {_CLOSED} 503
inject-backend-fields
  be-1 service-not-found|backend-invalid 503|404
  be-2 service-not-found|backend-invalid 503|404
  be-3 service-not-found|backend-invalid 503|404
  be-4 service-not-found|backend-invalid 503|404
  be-5 port-not-found|backend-invalid 503|404
  be-6 port-not-found|backend-invalid 503|404
  be-7 port-not-found|backend-invalid 503|404
inject-canary
  can-1 {_INVALID} 404
  can-2 {_INVALID} 404
  can-3 {_INVALID} 404
  can-4 {_INVALID} 404
  can-5 {_INVALID} 404
  can-6 {_INVALID} 404
  can-7 {_INVALID} 404
  can-8 {_INVALID} 404
inject-cidr-lists
  cidr-1 {_CLOSED} 503
  cidr-2 {_CLOSED} 503
  cidr-3 {_CLOSED} 503
  cidr-4 {_CLOSED} 503
  cidr-5 {_CLOSED} 503
  cidr-6 {_CLOSED} 503
  cidr-7 {_CLOSED} 503
inject-cookies
  ck-1 {_INVALID} {_INERT}
  ck-2 {_INVALID} {_INERT}
  ck-3 {_INVALID} {_INERT}
  ck-4 {_INVALID} {_INERT}
  ck-5 {_INVALID} {_INERT}
  ck-6 {_INVALID} {_INERT}
  ck-7 {_INVALID} {_INERT}
  ck-8 {_INVALID} {_INERT}
inject-cors
  cors-1 {_EITHER} b
  cors-2 {_EITHER} b
  cors-3 {_INVALID} b
  cors-4 {_INVALID} b
  cors-5 {_INVALID} b
  cors-6 {_INVALID} b
inject-custom-headers
  chdr {_CLOSED} 503
  chdr-xns {_CLOSED} 503
inject-fastcgi
  fc-1 {_INVALID} -
  fc-2 {_CLOSED} 503
  fc-3 {_CLOSED} 503
inject-hash-by
  hash-1 {_INVALID} b
  hash-2 {_INVALID} b
  hash-3 {_INVALID} b
  hash-4 {_INVALID} b
  hash-5 {_INVALID} b
inject-metadata
  meta-2 - b
inject-number-forms
  num-1 {_INVALID} b
  num-2 {_INVALID} b
  num-3 {_INVALID} b
  num-4 {_INVALID} b
  num-5 - b
  num-6 - b
  num-7 - b
  num-8 {_INVALID} b
  num-9 {_INVALID} b
  num-10 {_INVALID} b
inject-rewrite-target
  rw-var {_INVALID} b|404 /x
  rw-cap - b|404 /x
  ar-1 {_INVALID} b
  ar-2 {_INVALID} b
  ar-3 {_INVALID} b
  xfp-1 {_INVALID} b /x
inject-server-alias
  alias-1 {_INVALID} b
  alias-2 {_INVALID} b
  alias-3 {_INVALID} b
  alias-4 {_INVALID} b
  alias-5 {_INVALID} b
  alias-6 {_INVALID} b
  alias-7 {_INVALID} b
  alias-8 alias-taken b
inject-tls-fields
  tls-1 secret-not-found|tls-invalid|ingress-forbidden-text 308|404
  tls-2 secret-not-found|tls-invalid 308
  tls-3 secret-not-found|tls-invalid 308
  tls-4 secret-not-found|tls-invalid 308
  tls-5 tls-invalid|secret-not-found 308|b
  tls-6 tls-invalid|secret-not-found 308|b
inject-upstream-vhost
  uv-1 {_INVALID} b
  uv-2 {_INVALID} b
  uv-3 {_INVALID} b
  uv-4 {_EITHER} b|503
  uv-5 {_EITHER} b|503
  uv-6 {_EITHER} b|503
  uv-7 {_INVALID} b
  uv-8 {_CLOSED} 503
legacy-api-objects
  legacy-1 {_PATH} 404 /x
  legacy-2 service-not-found|backend-invalid -
nginx-rewrite-module-overflow
  rwo-1 {_INVALID} b|404 /api/x
  rwo-2 - b /api/x
  rwo-3 - b /v/abc
regex-dos
  re-1 path-regex-unsafe 404 /aaaa
  re-2 path-regex-unsafe 404 /aaaa
  re-3 path-regex-unsafe 404 /aaaa
  re-4 {_INVALID} 404
  re-5 path-regex-unsafe 404 /aaaa
ssrf-annotations
  ssrf-1 {_CLOSED} 503
  ssrf-2 {_CLOSED} 503
  ssrf-3 {_CLOSED} 503
  ssrf-4 {_EITHER} {_INERT}
  ssrf-5 {_EITHER} {_INERT}
  ssrf-6 {_CLOSED} 503
tls-material
  tlsm-1 certificate-unreadable|secret-not-found 308
  tlsm-2 certificate-unreadable|secret-not-found 308
  tlsm-3 certificate-unreadable|secret-not-found 308
variable-leak
  vl-1 {_INVALID} {_INERT}
  vl-2 {_CLOSED} 503
  vl-3 {_INVALID} b
  vl-4 {_INVALID} b
  vl-5 {_CLOSED} 503
xns-configmap-refs
  xc-1 {_CLOSED} 503
  xc-2 {_CLOSED} 503
  xc-3 {_CLOSED} 503
xns-secret-refs
  xs-1 {_CLOSED} 503
  xs-2 {_CLOSED} 503|403|308
  xs-3 {_CLOSED} 503
  xs-4 {_CLOSED} 503
xns-services
  xsvc-1 external-name-refused 503
  xsvc-2 external-name-refused 503
  xsvc-3 external-name-refused 503
  xsvc-4 - 503
  xsvc-5 - 503
  xsvc-6 external-name-refused 503
  xsvc-7 external-name-refused 503
  xsvc-db {_INVALID} b
"""
ASKED_ELSEWHERE = frozenset(
    """
    00-control auth-exempt-traversal cve-2025-1974-admission-test cve-2025-24513-auth-file-traversal
    cve-2026-24513-auth-custom-errors cve-2026-24514-admission-oversize h2c-and-smuggling header-spoofing
    host-hijack-path host-hijack-server-settings inject-configmap-snippets inject-configmap-values inject-host
    inject-log-format inject-stream-configmaps mtls-host-sni-mismatch nginx-map-capture-overflow
    oversize-objects reload-storm wildcard-takeover
    """.split()
)
"""Files that have a test of their own; `00-control` is there always."""


def _parse() -> dict[str, tuple[Row, ...]]:
    found: dict[str, list[Row]] = {}
    current: list[Row] = []
    for line in _FILES.strip().splitlines():
        if not line.startswith(" "):
            current = found.setdefault(line.strip(), [])
            continue
        name, told, answers, *path = line.split(maxsplit=3)
        current.append(Row(name, _alternatives(told), _alternatives(answers), path[0] if path else "/"))
    rewrites = found["inject-rewrite-target"]
    rewrites += [Row(f"rw-{n}", _alternatives(_INVALID), frozenset({"b", "404"}), "/x") for n in range(1, 17)]
    return {name: tuple(rows) for name, rows in found.items()}


def _alternatives(text: str) -> frozenset[str]:
    return frozenset() if text == "-" else frozenset(text.split("|"))


TABLE = _parse()
