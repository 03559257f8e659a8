"""`migrate report` as people and scripts use it: what it says of a small set, its exit codes, its speed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.cli.flags import WITHOUT_EFFECT
from controller.migrate import instead
from controller.migrate.installation import flags_of
from controller.tests.live.objects import ingress, service
from controller.translate.annotations.differences import DIFFERENCES
from controller.translate.annotations.registry import VERDICTS, Verdict

CLASS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "IngressClass",
    "metadata": {"name": "nginx"},
    "spec": {"controller": "k8s.io/ingress-nginx"},
}
OTHER_CLASS = {**CLASS, "metadata": {"name": "other"}, "spec": {"controller": "example.com/other"}}


def deployment(*arguments: str, namespace: str = "infra") -> dict[str, Any]:
    container = {
        "name": "controller",
        "image": "registry.k8s.io/ingress-nginx/controller:v1.11.3@sha256:0",
        "args": ["/nginx-ingress-controller", *arguments],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "front", "namespace": namespace},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }


def settings(**data: str) -> dict[str, Any]:
    keys = {name.replace("_", "-"): value for name, value in data.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "front", "namespace": "infra"}, "data": keys}


def web(name: str = "web", path: str = "/", **annotations: str) -> dict[str, Any]:
    named = {key.replace("_", "-"): value for key, value in annotations.items()}
    return ingress(name, (f"{name}.test", path, "Prefix", "web"), annotations=named, ingressClassName="nginx")


def report(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "controller", "migrate", "report", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def found(folder: Path, *objects: dict[str, Any], flags: tuple[str, ...] = ()) -> dict[str, Any]:
    (folder / "all.yaml").write_text(yaml.safe_dump_all([service("web"), *objects]))
    done = report(folder, "--output", "json", *flags)
    assert done.returncode in (0, 1), done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    assert value["summary"]["problems"] == bool(done.returncode)
    return value


def fates(items: list[dict[str, Any]]) -> dict[str, str]:
    return {item["name"]: item["fate"] for item in items}


def test_what_carries_over_is_fine_and_0(tmp_path: Path) -> None:
    value = found(tmp_path, CLASS, web(proxy_read_timeout="30", ssl_redirect="false"))
    (only,) = value["ingresses"]
    assert (only["namespace"], only["name"], only["class"], only["hosts"]) == ("default", "web", "nginx", ["web.test"])
    assert fates(only["annotations"]) == {"proxy-read-timeout": "carried-over", "ssl-redirect": "carried-over"}
    assert value["summary"]["problems"] is False
    assert report(tmp_path).returncode == 0


def test_each_fate_is_told_with_its_reason(tmp_path: Path) -> None:
    annotated = web(
        path="/shop/",
        configuration_snippet="proxy_read_timeout 5m;",
        enable_modsecurity="true",
        proxy_body_size="15 parsecs",
        ssl_redirct="true",
        session_cookie_hash="sha1",
        proxy_read_timeout="30",
    )
    (only,) = found(tmp_path, CLASS, annotated)["ingresses"]
    items = {item["name"]: item for item in only["annotations"]}
    assert fates(only["annotations"]) == {
        "configuration-snippet": "refused",
        "enable-modsecurity": "closes",
        "proxy-body-size": "invalid",
        "ssl-redirct": "unknown",
        "session-cookie-hash": "without-effect",
        "proxy-read-timeout": "carried-over",
    }
    assert only["fate"] == "closes"
    assert "503" in items["enable-modsecurity"]["note"]
    assert "firewall" in items["enable-modsecurity"]["instead"]
    assert "ssl-redirect" in items["ssl-redirct"]["note"]
    assert items["configuration-snippet"]["plan"]["annotations"] == {"default/web": {"proxy-read-timeout": "300"}}
    assert items["configuration-snippet"]["snippet"][0]["line"] == 1
    assert only["notes"] == ["Prefix path /shop/ takes /shop, too, and serves it directly instead of a 301."]


def test_verdicts_are_those_of_the_registry(tmp_path: Path) -> None:
    """Every annotation that is not carried out now is told so, and none that is."""
    plain = [n for n, v in VERDICTS.items() if v is Verdict.UNSUPPORTED and not n.startswith("canary")]
    silent = [name for name, verdict in VERDICTS.items() if verdict is Verdict.SILENT]
    (only,) = found(tmp_path, CLASS, web(**dict.fromkeys((*plain, *silent), "1")))["ingresses"]
    told = fates(only["annotations"])
    assert {name for name, fate in told.items() if fate == "not-carried-out"} == set(plain)
    assert {name for name, fate in told.items() if fate == "without-effect"} == set(silent)


def test_flags_of_the_deployment_choose_the_objects(tmp_path: Path) -> None:
    installed = deployment(
        "--configmap=$(POD_NAMESPACE)/front", "--controller-class=k8s.io/ingress-nginx", "--v=3",
        "--enable-ssl-chain-completion", "--validating-webhook=:8443", "--of-a-fork=1",
    )  # fmt: skip
    theirs = ingress("theirs", ("theirs.test", "/", "Prefix", "web"), ingressClassName="other")
    lost = ingress("lost", ("lost.test", "/", "Prefix", "web"), ingressClassName="gone")
    data = settings(proxy_body_size="20m", http_snippet="gzip on;", use_geoip2="true", proxy_body_sise="1m")
    value = found(tmp_path, CLASS, OTHER_CLASS, installed, data, web(), theirs, lost)
    (deployed,) = value["deployed"]
    assert (deployed["kind"], deployed["namespace"], deployed["name"]) == ("Deployment", "infra", "front")
    assert fates(deployed["flags"]) == {
        "--configmap": "carried-over", "--controller-class": "carried-over", "--v": "carried-over",
        "--enable-ssl-chain-completion": "not-carried-out", "--validating-webhook": "without-effect",
        "--of-a-fork": "unknown",
    }  # fmt: skip
    assert (value["configmap"]["namespace"], value["configmap"]["found"]) == ("infra", True)
    assert fates(value["configmap"]["keys"]) == {
        "proxy-body-size": "carried-over", "http-snippet": "refused", "use-geoip2": "not-carried-out",
        "proxy-body-sise": "unknown",
    }  # fmt: skip
    assert [(c["name"], c["served"], c["ingresses"]) for c in value["classes"]] == [
        ("nginx", True, 1), ("other", False, 1),
    ]  # fmt: skip
    assert [i["name"] for i in value["ingresses"]] == ["web"]
    assert {left["name"]: left["why"] for left in value["not_served"]} == {
        "theirs": "Its class other belongs to example.com/other.",
        "lost": "There is no IngressClass gone, and it is not --ingress-class nginx.",
    }


def test_a_flag_that_is_given_wins_over_the_deployment(tmp_path: Path) -> None:
    other = {**settings(proxy_body_size="1m"), "metadata": {"name": "mine", "namespace": "infra"}}
    objects = (CLASS, deployment("--configmap=infra/front"), settings(), other)
    value = found(tmp_path, *objects, flags=("--configmap", "infra/mine"))
    assert value["configmap"]["name"] == "mine"
    assert "--configmap=infra/mine" in value["flags"]


def test_flags_of_a_container_in_each_form() -> None:
    listed = ["--a=$(POD_NAMESPACE)/x", "--b", "c", "-v", "3", "--d=", "--e"]
    assert [str(flag) for flag in flags_of(listed, "infra")] == ["--a=infra/x", "--b=c", "--v=3", "--d", "--e"]


def test_differences_are_told(tmp_path: Path) -> None:
    honoured = [name for name in DIFFERENCES if VERDICTS.get(name) is Verdict.HONOURED]
    for name in honoured[:3]:
        value = found(tmp_path, CLASS, web(**{name: "true"}))
        (item,) = value["ingresses"][0]["annotations"]
        if item["fate"] == "differs":
            assert item["note"].startswith(DIFFERENCES[name])


def test_every_difference_is_of_a_name_that_exists() -> None:
    from controller.translate.configmap import PARSERS

    for name, sentence in DIFFERENCES.items():
        key = name.removeprefix("configmap:")
        assert key in (PARSERS if name.startswith("configmap:") else VERDICTS), name
        assert sentence.endswith("."), name
        assert "\n" not in sentence


def test_what_is_told_of_flags_and_names_is_of_ones_that_exist() -> None:
    assert set(instead.HARMLESS_FLAGS) | set(instead.FLAGS) <= set(WITHOUT_EFFECT)
    assert set(instead.ANNOTATIONS) <= set(VERDICTS)


def test_the_table_fits_in_100_columns_and_has_no_colours(tmp_path: Path) -> None:
    long = "more_set_headers 'X-A: " + "b" * 200 + "';\nsub_filter " + "c" * 130 + " d;"
    found(tmp_path, CLASS, deployment("--configmap=infra/front"), settings(http_snippet=long),
          web("w" * 60, path="/" + "p" * 150 + "/", configuration_snippet=long, nope="x" * 300))  # fmt: skip
    done = report(tmp_path)
    assert done.returncode == 1
    words_too_long = [line for line in done.stdout.splitlines() if len(line) > 100]
    assert words_too_long == []
    assert "\x1b" not in done.stdout


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    found(tmp_path, CLASS, web(nope="\x1b[2J\x07‮evil"))
    text = report(tmp_path).stdout
    assert "\x1b" not in text
    assert "‮" not in text
    assert "\\x1b[2J" in text


def test_an_empty_directory_is_said_so(tmp_path: Path) -> None:
    done = report(tmp_path)
    assert done.returncode == 0
    assert "0 Ingresses are served" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("--out", "/does/not/exist/x"), ("--configmap", "noslash")], ids=str)
def test_wrong_use(arguments: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "none" if not arguments else tmp_path
    done = report(folder, *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_broken_file_costs_itself_alone(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("kind: Deployment\n  a: b: c")
    value = found(tmp_path, CLASS, web())
    assert [i["name"] for i in value["ingresses"]] == ["web"]
    assert value["diagnostics"][0]["object"]["kind"] == "File"


def test_sixty_manifests_take_less_than_two_seconds(tmp_path: Path) -> None:
    for number in range(60):
        made = web(f"web-{number}", configuration_snippet="more_set_headers 'A: b';\n" * 10, proxy_read_timeout="30")
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump_all([service(f"web-{number}"), made]))
    for output in ("table", "json", "html"):
        begun = time.monotonic()
        assert report(tmp_path, "--output", output, "--out", str(tmp_path / "out.txt")).returncode == 1
        assert time.monotonic() - begun < 2


def test_lint_gives_the_replacements_as_the_hint(tmp_path: Path) -> None:
    found(tmp_path, CLASS, web(configuration_snippet="proxy_read_timeout 5m;\nsub_filter a b;"))
    command = [sys.executable, "-m", "controller", "lint", str(tmp_path), "--output", "json"]
    done = subprocess.run(
        [*command, "--controller-class", "k8s.io/ingress-nginx"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    (finding,) = [f for f in json.loads(done.stdout)["diagnostics"] if f["code"] == "annotation-refused"]
    assert finding["hint"] == 'Instead: proxy-read-timeout: "300" (proxy_read_timeout); nothing (sub_filter).'
