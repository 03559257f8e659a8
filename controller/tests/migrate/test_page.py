"""The HTML page: what users wrote is text and nothing else, and nothing is loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from controller.tests.live.objects import service
from controller.tests.migrate.test_report import CLASS, deployment, report, settings, web

ATTACKS = (
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; alert(1); //",
    "{{ 7*7 }}{% for a in b %}",
    "<!--<script>",
    "&lt;script&gt;",
    "javascript:alert(1)",
    "\u202e\u2066reversed",
    "\x1b]0;title\x07",
    "]]><![CDATA[",
)
_VOID = {"meta", "br", "input", "link", "img"}


class Reader(HTMLParser):
    """Elements and attributes of a page, and its text. `unbalanced` names what does not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.unbalanced: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open[-1:] not in (["style"], ["script"]):
            self.text.append(data)


def page(folder: Path, attack: str) -> str:
    annotated = web(nope=attack, configuration_snippet=f"add_header X '{attack}';\n{attack}", proxy_body_size=attack)
    annotated["metadata"]["annotations"][f"nginx.ingress.kubernetes.io/{attack[:20]}"] = attack
    annotated["spec"]["rules"][0]["http"]["paths"][0]["path"] = f"/{attack}/"
    annotated["spec"]["rules"][0]["host"] = attack
    objects = [CLASS, service("web"), annotated, deployment("--configmap=infra/front", f"--x={attack}")]
    objects.append(settings(http_snippet=attack, proxy_body_size=attack, **{attack[:20]: attack}))
    (folder / "all.yaml").write_text(yaml.safe_dump_all(objects))
    done = report(folder, "--output", "html")
    assert done.returncode == 1, done.stderr
    return done.stdout


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_what_users_wrote_is_text(attack: str, tmp_path: Path) -> None:
    harmless = Reader(page(tmp_path, "harmless"))
    reader = Reader(page(tmp_path, attack))
    assert not reader.unbalanced
    scripts = [attributes for tag, attributes in reader.elements if tag == "script"]
    assert scripts == [{}]
    assert {tag for tag, _ in reader.elements} <= {tag for tag, _ in harmless.elements}
    handlers = [name for _, attributes in reader.elements for name in attributes if name.startswith("on")]
    assert handlers == []
    text = "".join(reader.text)
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert "49" not in text or "7*7" in text
    if attack.isprintable():
        assert attack in text


def test_nothing_is_loaded_and_only_our_script_may_run(tmp_path: Path) -> None:
    text = page(tmp_path, "harmless")
    reader = Reader(text)
    loading = [a for _, attributes in reader.elements for a in attributes if a in ("src", "srcset", "action", "data")]
    assert loading == []
    assert [a["href"] for tag, a in reader.elements if "href" in a] == ["#ingresses"]
    assert "url(" not in text
    assert "@import" not in text
    (policy,) = [a["content"] for tag, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")


def test_it_reads_without_a_script_and_by_ear(tmp_path: Path) -> None:
    reader = Reader(page(tmp_path, "harmless"))
    by_tag: dict[str, list[dict[str, str | None]]] = {}
    for tag, attributes in reader.elements:
        by_tag.setdefault(tag, []).append(attributes)
    assert by_tag["html"] == [{"lang": "en"}]
    assert "hidden" in by_tag["form"][0], "shown by the script, which is what it needs"
    assert not any("hidden" in attributes for attributes in by_tag["article"])
    assert len(by_tag["caption"]) == len(by_tag["table"])
    assert all(attributes.get("scope") in ("col", "row") for attributes in by_tag["th"])
    labelled = {attributes.get("for") for attributes in by_tag["label"]}
    assert by_tag["input"][0]["id"] in labelled
    assert [len(by_tag[tag]) for tag in ("h1", "main", "header")] == [1, 1, 1]
