"""What becomes of one annotation, one key of the ConfigMap, one flag.

Verdicts come from the registry and from the findings of our own translation, so that this says what the controller does
and not what a list once said it would do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from controller.k8s.ingress import Ingress
from controller.migrate import instead
from controller.migrate.answers import Place
from controller.migrate.installation import Flag
from controller.migrate.model import Fate, Item
from controller.migrate.snippets import ANNOTATIONS as SNIPPETS
from controller.migrate.snippets import SETTINGS as SNIPPET_SETTINGS
from controller.migrate.snippets import advise
from controller.model.diagnostics import Diagnostic, Effect
from controller.model.refs import FieldPath, ObjectKey
from controller.translate.annotations.annotation import OUR_PREFIX
from controller.translate.annotations.differences import DIFFERENCES
from controller.translate.annotations.registry import OUR_ANNOTATIONS, VERDICTS, Verdict
from controller.translate.configmap import VERDICTS as SETTINGS

SHOWN = 120
_BY_VERDICT = {
    Verdict.HONOURED: Fate.CARRIED,
    Verdict.CLOSES: Fate.CARRIED,  # one that closes something brings a finding; without one it asks for nothing
    Verdict.REFUSED: Fate.REFUSED,
    Verdict.UNSUPPORTED: Fate.IGNORED,
    Verdict.OBSOLETE: Fate.WITHOUT_EFFECT,
    Verdict.SILENT: Fate.WITHOUT_EFFECT,
}
_BY_CODE = {
    "annotation-refused": Fate.REFUSED,
    "annotation-obsolete": Fate.WITHOUT_EFFECT,
    "annotation-unsupported": Fate.IGNORED,
    "annotation-unknown": Fate.UNKNOWN,
    "annotation-invalid": Fate.INVALID,
    "configmap-key-unsupported": Fate.IGNORED,
    "configmap-key-refused": Fate.REFUSED,
    "configmap-key-obsolete": Fate.WITHOUT_EFFECT,
    "configmap-key-unknown": Fate.UNKNOWN,
    "configmap-key-invalid": Fate.INVALID,
}
_MARKERS = ("kubernetes.io/ingress.class", "kubernetes.io/tls-acme")
_SNIPPETS_OFF = "ingress-nginx itself dropped it unless allow-snippet-annotations was true."


class FlagNames(NamedTuple):
    """Flags of `headrace run`: those that do something, and those that are only accepted."""

    honoured: frozenset[str]
    accepted: frozenset[str]


def annotation_items(key: ObjectKey, ingress: Ingress, findings: Iterable[Diagnostic], prefix: str) -> tuple[Item, ...]:
    """Those annotations of an Ingress that are ours or ingress-nginx's, in the order of their names."""
    by_field = _by_field(findings)
    items = []
    for full, text in sorted((ingress.metadata.annotations or {}).items()):
        where = FieldPath("metadata.annotations").key(full).text
        if full.startswith(f"{prefix}/"):
            name = full.removeprefix(f"{prefix}/")
            verdict = VERDICTS.get(name)
            fate = _BY_VERDICT[verdict] if verdict else Fate.UNKNOWN
            items.append(_annotation(name, text, fate, by_field.get(where, ()), key))
        elif full.startswith(OUR_PREFIX):
            fate = Fate.CARRIED if full.removeprefix(OUR_PREFIX) in OUR_ANNOTATIONS else Fate.UNKNOWN
            items.append(_annotation(full, text, fate, by_field.get(where, ()), key))
        elif full in _MARKERS:
            items.append(Item(full, _short(text), Fate.CARRIED))
    return tuple(items)


def setting_items(data: Mapping[str, str], key: ObjectKey, findings: Iterable[Diagnostic]) -> tuple[Item, ...]:
    """Keys of the ConfigMap in the order of their names."""
    by_field = _by_field(findings)
    return tuple(_setting(name, text, key, by_field) for name, text in sorted(data.items()))


def flag_items(flags: Iterable[Flag], names: FlagNames) -> tuple[Item, ...]:
    """Flags of a container in their order."""
    return tuple(_flag(flag, names) for flag in flags)


def _annotation(name: str, text: str, fate: Fate, findings: tuple[Diagnostic, ...], key: ObjectKey) -> Item:
    if not text.strip() and not findings:
        return Item(name, "", Fate.WITHOUT_EFFECT, "It has no value.")
    fate, note = _judged(fate, findings)
    if name in SNIPPETS and text.strip():
        advices = advise(text, Place(name, key.namespace, key.name))
        return Item(name, _lines(text), fate, f"{note} {_SNIPPETS_OFF}", "", advices)
    return _item(name, text, fate, note, DIFFERENCES.get(name, ""), instead.ANNOTATIONS.get(name, ""))


def _setting(name: str, text: str, key: ObjectKey, by_field: Mapping[str, tuple[Diagnostic, ...]]) -> Item:
    findings = by_field.get(FieldPath("data").key(name).text, ())
    if not text.strip() and not findings:
        return Item(name, "", Fate.WITHOUT_EFFECT, "It has no value.")
    if name in SNIPPET_SETTINGS:
        advices = advise(text, Place(name, key.namespace))
        return Item(name, _lines(text), Fate.REFUSED, "Text for the nginx configuration is never taken.", "", advices)
    fate, note = _judged(_fate_of_setting(name), findings)
    return _item(name, text, fate, note, DIFFERENCES.get(f"configmap:{name}", ""), instead.SETTINGS.get(name, ""))


def _fate_of_setting(name: str) -> Fate:
    """What is refused brings a finding; without one it asks for nothing."""
    verdict = SETTINGS.get(name)
    if verdict is Verdict.REFUSED:
        return Fate.WITHOUT_EFFECT
    return _BY_VERDICT[verdict] if verdict else Fate.CARRIED


def _item(name: str, text: str, fate: Fate, note: str, different: str, use: str) -> Item:
    if fate is Fate.CARRIED and different:
        return Item(name, _short(text), Fate.DIFFERS, f"{different} {note}".strip())
    if fate is Fate.CARRIED:
        return Item(name, _short(text), fate, note)
    if fate is Fate.WITHOUT_EFFECT:
        return Item(name, _short(text), fate, f"{note} {use}".strip())
    return Item(name, _short(text), fate, note, use)


def _lines(text: str) -> str:
    number = len(text.strip().splitlines())
    return f"{number} lines" if number > 1 else _short(text)


def _flag(flag: Flag, names: FlagNames) -> Item:
    name, value = f"--{flag.name}", _short(flag.value)
    if flag.name in names.honoured:
        return Item(name, value, Fate.CARRIED)
    if flag.name in instead.HARMLESS_FLAGS:
        return Item(name, value, Fate.WITHOUT_EFFECT, instead.HARMLESS_FLAGS[flag.name])
    if flag.name in names.accepted:
        use = instead.FLAGS.get(flag.name, "")
        return Item(name, value, Fate.IGNORED, "It is accepted, has no effect, and is named in the log.", use)
    return Item(name, value, Fate.UNKNOWN, "headrace run ends with an error where it is given: leave it out.")


def _judged(fate: Fate, findings: tuple[Diagnostic, ...]) -> tuple[Fate, str]:
    """Fate and note after what the translation found about this very field."""
    found = [fate, *(_fate_of(finding, fate) for finding in findings)]
    notes = " ".join(f"{finding.message} {finding.hint}".strip() for finding in findings)
    return max(found, key=_WEIGHT.__getitem__), notes


_WEIGHT = {fate: number for number, fate in enumerate(Fate)}


def _fate_of(finding: Diagnostic, fate: Fate) -> Fate:
    """By what traffic does, then by the code; findings that change nothing leave the fate as it is."""
    if finding.effect in (Effect.PATH_UNSERVED, Effect.HOST_UNSERVED, Effect.OBJECT_IGNORED):
        return Fate.CLOSES
    if finding.severity == "info" or finding.effect is Effect.NONE:
        return fate
    return _BY_CODE.get(finding.code, Fate.IGNORED)


def _by_field(findings: Iterable[Diagnostic]) -> dict[str, tuple[Diagnostic, ...]]:
    found: dict[str, tuple[Diagnostic, ...]] = {}
    for finding in findings:
        found[finding.field.text] = (*found.get(finding.field.text, ()), finding)
    return found


def _short(text: str) -> str:
    text = text.strip()
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
