"""What was used against the old controller does not even come into the cluster.

Each is the harmful part of a published attack in an Ingress that is fine otherwise. The controller refuses all of them
too (controller/tests/cases), so the policy is no wall but a door that is shut.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from e2e.policy.agreement import compare, read
from e2e.policy.dryrun import DryRun
from e2e.policy.objects import ingress

CATALOGUE = Path(__file__).parents[3] / "shared" / "spec" / "attacks"
ATTACKS: dict[str, dict[str, Any]] = {
    "CVE-2021-25742: snippet that reads the token": ingress(
        {"configuration-snippet": "location /t { alias /var/run/secrets/kubernetes.io/serviceaccount/token; }"}
    ),
    "CVE-2021-25745: path that serves files": ingress(path="/x/ { root /var/run/secrets; } location /y"),
    "CVE-2021-25746: directive after a boolean": ingress({"ssl-redirect": "true; return 418"}),
    "CVE-2021-25748: path with a line feed": ingress(
        path="/x\nalias /var/run/secrets/;", path_type="ImplementationSpecific"
    ),
    "CVE-2021-25748: path with a carriage return": ingress(path="/x\r\nreturn 418;"),
    "CVE-2021-25748: path with a line separator": ingress(
        path="/x\u2028return 418;", path_type="ImplementationSpecific"
    ),
    "CVE-2022-4886: path that ends a quoted text": ingress(path="/x'; return 418; #"),
    "CVE-2023-5043: server snippet": ingress({"server-snippet": "return 418;"}),
    "CVE-2024-7646: carriage return in a rewrite": ingress({"rewrite-target": "/\rreturn 418;"}),
    "CVE-2025-1097: client certificate name": ingress({"auth-tls-match-cn": 'CN=x" ; return 418; #'}),
    "CVE-2025-15566: headers of the auth request": ingress(
        {"auth-url": "http://a.b/", "auth-proxy-set-headers": "x/y;"}
    ),
    "CVE-2025-24513: auth Secret as a file name": ingress({"auth-type": "basic", "auth-secret": "../../etc/passwd"}),
    "CVE-2025-24514: directive in an auth URL": ingress({"auth-url": "http://a.b/#;}return 418;"}),
    "CVE-2026-1580: directive in an auth method": ingress({"auth-url": "http://a.b/", "auth-method": "GET;return 418"}),
    "CVE-2026-3288: quote in a rewrite": ingress({"rewrite-target": '/$1" break; return 418; #'}),
    "CVE-2026-24512: block in a path": ingress(path="/x { return 418; } location /y", path_type="Exact"),
    "snippet of the stream part": ingress({"stream-snippet": "server { listen 9; return x; }"}),
    "rewrite that shows a variable": ingress({"rewrite-target": "/$http_authorization"}),
    "path whose group overwrites a variable": ingress(
        {"use-regex": "true"}, path="/(?<proxy_upstream_name>.*)", path_type="ImplementationSpecific"
    ),
    "control character in an encoded path": ingress(path="/a%0Areturn"),
    "canary with a directive": ingress({"canary": "true", "canary-by-header": "x; return 418"}),
    "allow list with a directive": ingress({"whitelist-source-range": "10.0.0.0/8; return 418"}),
    "client certificates by a path": ingress({"auth-tls-secret": "../../etc/ssl"}),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_refused(api: DryRun, attack: dict[str, Any]) -> None:
    assert compare(api, attack).refused_by_policy


def test_all_attacks_of_the_catalogue_get_the_verdict_of_the_controller(api: DryRun) -> None:
    """The catalogue is no part of the project: where it is not there, the table above has to do."""
    for path in sorted(CATALOGUE.glob("*.yaml")):
        for attack in read(path):
            compare(api, attack)
