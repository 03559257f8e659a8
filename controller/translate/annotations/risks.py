"""How much an annotation lets its writer do, as ingress-nginx ranked them, for `annotations-risk-level`.

An alias has the rank of its name; what is not listed is of the lowest.
"""

from __future__ import annotations

from enum import IntEnum


class Risk(IntEnum):
    """Low: harmless for others. Critical: text of one's own in the configuration (never taken, whatever the level)."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2
    CRITICAL = 3


_NAMES = {
    Risk.MEDIUM: """
        rewrite-target app-root force-ssl-redirect preserve-trailing-slash permanent-redirect temporal-redirect
        proxy-body-size proxy-cookie-domain proxy-cookie-path proxy-redirect-from proxy-redirect-to proxy-next-upstream
        x-forwarded-prefix fastcgi-index fastcgi-params-configmap auth-secret auth-realm auth-signin-redirect-param
        auth-response-headers auth-proxy-set-headers auth-request-redirect auth-cache-key auth-cache-duration
        auth-tls-secret auth-tls-verify-client proxy-ssl-secret proxy-ssl-ciphers cors-allow-origin cors-allow-methods
        cors-allow-headers cors-expose-headers canary-by-header canary-by-header-value canary-by-header-pattern
        canary-by-cookie affinity-mode session-cookie-name session-cookie-path session-cookie-domain
        session-cookie-expires session-cookie-max-age allowlist-source-range whitelist-source-range
        denylist-source-range custom-headers opentelemetry-operation-name
    """,
    Risk.HIGH: """
        server-alias upstream-hash-by auth-url auth-signin auth-tls-error-page auth-tls-match-cn proxy-ssl-name
        mirror-target mirror-host modsecurity-transaction-id
    """,
    Risk.CRITICAL: """
        modsecurity-snippet configuration-snippet server-snippet stream-snippet auth-snippet
    """,
}
RISKS: dict[str, Risk] = {name: risk for risk, names in _NAMES.items() for name in names.split()}


def risk_of(name: str) -> Risk:
    return RISKS.get(name, Risk.LOW)


def level_of(text: str) -> Risk:
    """The highest rank that is allowed, in any case; what is none of them is the lowest, as it always was."""
    return Risk.__members__.get(text.strip().upper(), Risk.LOW)
