"""What is explained of hosts that ask clients for certificates (as test_client_certificates.py shows it for nginx)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.explain.matcher import explain
from controller.model.configuration import Alias
from controller.model.features.client_certificates import ClientCertificates, Verify
from controller.tests.explain.routes import configuration, location, server

GUARDED, BROKEN = ClientCertificates(ca="x.ca"), ClientCertificates(broken=True)
OFF = ClientCertificates(ca="x.ca", verify=Verify.OFF)
HOSTS = configuration(
    server("open.test", location("prefix / web")),
    replace(server("on.test", location("prefix / web")), features=(GUARDED,), aliases=(Alias("nickname.test", None),)),
    replace(server("off.test", location("prefix / web")), features=(OFF,)),
    replace(server("broken.test", location("prefix / web")), features=(BROKEN,)),
    replace(server("*.wild.test", location("prefix / web")), features=(GUARDED,)),
)


@pytest.mark.parametrize(
    ("url", "host", "status"),
    [
        ("https://on.test/", None, None),
        ("https://ON.test./", None, None),
        ("https://nickname.test/", None, None),
        ("https://a.wild.test/", None, None),
        ("http://on.test/", None, None),
        ("https://open.test/", "on.test", 421),
        ("https://on.test/", "open.test", 421),
        ("https://on.test/", "nickname.test", 421),
        ("https://a.wild.test/", "b.wild.test", 421),
        ("https://127.0.0.1/", "on.test", 421),
        ("https://127.0.0.1/", "open.test", None),
        ("https://open.test/", "off.test", None),
        ("https://broken.test/", None, 403),
        ("http://broken.test/", None, None),
        ("https://open.test/", "broken.test", 403),
    ],
)
def test_refusals(url: str, host: str | None, status: int | None) -> None:
    story = explain(HOSTS, url, headers={"Host": host} if host else {})
    assert (story.status, bool(story.why)) == (status, status is not None)
