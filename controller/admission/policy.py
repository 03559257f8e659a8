"""The two ValidatingAdmissionPolicies of the chart: what is refused at `kubectl apply`, and what is only warned about.

They say at once what the controller would say a second later in Events and logs, and need no webhook for it. They are
no wall: the controller checks all of it again, and alone knows other objects and regular expressions (PCRE).

Refused is what the controller refuses in an Ingress that is looked at by itself: what it would leave out, close or
read differently from how it is written. Warned about is what it takes note of and serves all the same.

`generated_file()` is the part that comes from the code; the template of the chart puts it together with what comes from
values. Before these variables stand there those that the operator chooses:

- `prefix`: of the annotations, with its slash; `strictPaths`, `firewallMayBeMissing`: keys of the ConfigMap;
- `catchAllAllowed`: no `--disable-catch-all`;
- `before`: a list with the object as it was, if it was one of ours, or an empty list.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from controller.admission import cel, faults
from controller.translate.annotations import values
from controller.translate.annotations.registry import REWRITE_TARGET, USE_REGEX

_TOO_MANY = "There is more wrong with this Ingress than fits here; `headrace lint` lists all of it."
_INTRODUCTION = """\
# What the admission policies refuse and warn about, in CEL. Written by `make docs` from the grammars that the
# controller itself reads with (controller/admission); templates/admission-policy.yaml makes objects of it.
"""


def generated_file() -> str:
    """The text of `charts/headrace/files/admission-policy.yaml`."""
    everything = " + ".join(f"variables.{name}" for name in _FAULTS)
    document = {
        "variables": _named(_COMMON),
        "refuse": {
            "variables": _named({**_EXPRESSIONS, **_FAULTS, "faults": everything}),
            "validations": [_none_of("faults")],
        },
        "warn": {"variables": _named(_WARNINGS), "validations": [_none_of(name) for name in _WARNINGS]},
    }
    return _INTRODUCTION + yaml.dump(document, Dumper=_Readable, sort_keys=False, width=10_000)


def _named(expressions: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "expression": expression} for name, expression in expressions.items()]


def _none_of(variable: str) -> dict[str, str]:
    return {
        "expression": f"variables.{variable}.size() == 0",
        "message": _TOO_MANY,
        "messageExpression": f"variables.{variable}.join(' ')",
    }


class _Readable(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _written(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Readable.add_representer(str, _written)

_TARGET = "variables.annotations[k].trim()"
_COMMON = {
    "annotations": "object.metadata.?annotations.orValue({})",
    "changed": """variables.annotations.filter(k, !variables.before.exists(o,
  k in o.metadata.?annotations.orValue({}) && o.metadata.annotations[k] == variables.annotations[k]))""",
    "named": "variables.changed.filter(k, k.startsWith(variables.prefix))",
}
_EXPRESSIONS = {
    "useRegex": f"""[variables.prefix + {cel.text(USE_REGEX.name)}].exists(k,
  k in variables.annotations && {_TARGET} in {cel.texts(values.TRUE)})""",
    "target": f"""[variables.prefix + {cel.text(REWRITE_TARGET.name)}].filter(k,
  k in variables.annotations && {_TARGET}.size() <= {values.LONGEST}
  && {cel.all_of(_TARGET, REWRITE_TARGET.grammar.pattern)})
.map(k, {_TARGET}).join('')""",
    "sameExpressions": f"""{cel.texts((USE_REGEX.name, REWRITE_TARGET.name))}
.all(n, !((variables.prefix + n) in variables.changed))""",
}
_FAULTS = {
    "closing": faults.closing(),
    "refused": faults.refused(),
    "invalidValues": faults.invalid_values(),
    "wrongHosts": faults.wrong_hosts(),
    "wrongPaths": faults.wrong_paths(),
    "wrongBackends": faults.wrong_backends(),
    "forbiddenCatchAll": faults.forbidden_catch_all(),
}
_WARNINGS = {
    "withoutEffect": faults.without_effect(),
    "unknown": faults.unknown(),
    "uselessTlsHosts": faults.useless_tls_hosts(),
}
