"""Our own attacks (`corpus/`): each is refused with a finding, and nobody else is worse off.

One controller with the real nginx runs for all; each file is brought to it alone, and a good Ingress that comes with it
shows that changes of others take effect. The victim's routes answer all the time, and no answer holds a Secret of
another namespace, a file of the controller or its environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.tests.attacks.arena import SECRET, Arena, arena
from controller.tests.attacks.corpus import FILES, OUTSIDER, Attack, read
from controller.tests.live.objects import Object, ingress, key_pair, service, tls_secret

VICTIMS = {"http://plain.test/": "a", "https://victim.test/": "a", "https://victim.test/account": "a"}
PODS = {("victim", "web"): "a", (OUTSIDER, "web"): "b", (OUTSIDER, "other"): "c"}
OLD = "2020-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    tls = [{"hosts": ["victim.test"], "secretName": "pair"}]
    control = [
        ingress("plain", ("plain.test", "/", "Prefix", "web"), namespace="victim", created=OLD),
        ingress("victim", ("victim.test", "/", "Prefix", "web"), namespace="victim", created=OLD, tls=tls),
        *(service(name, namespace) for namespace, name in PODS),
        tls_secret("pair", key_pair("victim.test"), "victim"),
        tls_secret("pair", key_pair("*.attack.test"), OUTSIDER),
        secret("users", "victim", {"auth": f"bob:{SECRET}"}),
        secret("users", OUTSIDER, {"auth": "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"}),
        secret("ca", OUTSIDER, {"ca.crt": key_pair("authority")[0].decode()}),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "headers", "namespace": "victim"},
            "data": {"X-Victim": SECRET},
        },
    ]
    directory = tmp_path_factory.mktemp("corpus")
    with arena(directory, control, PODS, VICTIMS, "--configmap", "headrace/settings") as running:
        yield running


def secret(name: str, namespace: str, data: dict[str, str]) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}


@pytest.mark.shows("configmap:allow-snippet-annotations")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nothing_comes_of_it(stage: Arena, file: Path) -> None:
    found = read(file)
    host = f"settled-{stage.rounds}.test"
    good = ingress("settled", (host, "/", "Exact", "web"), namespace="victim", annotations={host: "settled"})
    stage.bring([*(attack.ingress for attack in found.attacks), *found.others], good)
    stage.check_victims()
    wrong = [fault for attack in found.attacks for fault in faults(stage, attack)]
    assert not wrong, "\n".join(wrong)
    for owner, code in found.told.items():
        kind, _, name = owner.partition(" ")
        assert code in stage.told(name, kind)
    stage.check_victims()
    stage.check_data_plane()


def faults(stage: Arena, attack: Attack) -> list[str]:
    found, told = [], stage.told(attack.name)
    if attack.told is not None and bool(told & attack.told) != bool(attack.told):
        found.append(f"{attack.name}: told {sorted(told)}, not {sorted(attack.told)}")
    if attack.answers and (answer := stage.outcome(attack.url)) not in attack.answers:
        found.append(f"{attack.name}: {attack.url} answers {answer}, not {sorted(attack.answers)}")
    return found


def test_every_attack_has_a_name_of_its_own() -> None:
    names = [attack.name for file in FILES for attack in read(file).attacks]
    assert len(names) == len(set(names)) > 150
