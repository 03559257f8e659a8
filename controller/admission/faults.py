"""What is wrong with an Ingress, as CEL: lists of sentences, written from the grammars that the translation reads with.

Each function gives one expression, a list of strings. They hold for objects that the API server has found valid: hosts
are in lower-case ASCII, a path begins with a slash and holds no `//`, `/../` or `%2F`, a pathType is one of the three.

What stood in the object before, letter for letter, is never a fault: an Ingress from the time before the policy can
still be changed by its owner and by machines (a solver that adds its path, a new label), in all that is not wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from controller.admission import cel
from controller.model.codes import CODES
from controller.translate import hosts, paths
from controller.translate.annotations import registry, values
from controller.translate.annotations.annotation import OUR_PREFIX, Annotation
from controller.translate.annotations.registry import (
    FIREWALL,
    HARMLESS,
    HONOURED,
    OUR_ANNOTATIONS,
    VERDICTS,
    Verdict,
)

_NAME = "k.substring(variables.prefix.size())"
_VALUE = "variables.annotations[k].trim()"
_SPECIFIC = "p.pathType == 'ImplementationSpecific'"
_EXPRESSION = f"({_SPECIFIC} && (variables.useRegex || !(variables.target == '' || variables.target == t)))"
"""Whether the Ingress itself makes its path `p` with the text `t` a regular expression."""

_SURELY_SHORT = paths.MAX_QUOTED_BYTES // 12
"""Characters of which a path is short enough when each is a dollar: 1 + 2 + 9 bytes once quoted."""


def invalid_values() -> str:
    """Annotations whose value is not in their grammar."""
    readers = sorted(HONOURED, key=lambda annotation: (annotation.grammar.expected, annotation.name))
    grammars = dict.fromkeys(annotation.grammar for annotation in readers)
    return _sum(_not_in(grammar, [a for a in readers if a.grammar is grammar]) for grammar in grammars)


def refused() -> str:
    """Annotations that would put text into the configuration."""
    told = f"{registry.TOLD[Verdict.REFUSED]} {CODES['annotation-refused'].fix}"
    return _annotations(_keys(_names(Verdict.REFUSED)), _asks(""), cel.text(told), "refused")


def closing() -> str:
    """Protections that this version does not have: with them the paths would answer 503."""
    told = f"{registry.TOLD[Verdict.CLOSES]} {CODES['annotation-closes-route'].fix}"
    always = [name for name in _names(Verdict.CLOSES) if name not in FIREWALL]
    words = sorted({HARMLESS.get(name, "") for name in always})
    groups = [(_keys(name for name in always if HARMLESS.get(name, "") == word), word) for word in words]
    groups += [
        (f"(variables.firewallMayBeMissing ? [] : {_keys([name])})", HARMLESS[name]) for name in sorted(FIREWALL)
    ]
    return _sum(_annotations(keys, _asks(word), cel.text(told), "closes-route") for keys, word in groups)


def wrong_hosts() -> str:
    """Hosts of rules that no request can have."""
    before = "o.spec.?rules.orValue([]).exists(s, s.?host.orValue('') == r.host)"
    return f"""object.spec.?rules.orValue([])
.filter(r, r.?host.orValue('') != '' && {_no_host("r.host")}
  && !variables.before.exists(o, {before}))
.map(r, 'spec.rules[' + string(object.spec.rules.indexOf(r)) + '].host: ' + {cel.shown("r.host")}
  + {cel.text(f" cannot be served. {CODES['host-invalid'].fix} [host-invalid]")})"""


def wrong_paths() -> str:
    """Paths that their pathType does not allow; one text for each rule.

    Nearly all paths are plain, so that is looked at first: it makes large objects affordable.
    """
    plain = f"(t.size() <= {_SURELY_SHORT} && {cel.all_of('t', paths.STRICT.pattern)})"
    return _in_rules(f"""[p.?path.orValue('/')].filter(t, !{plain}).map(t,
  [{_path_reason()}]
  .filter(reason, reason != '' && !((variables.sameExpressions || !{_EXPRESSION}) && {_stood_there()}))
  .map(reason, '.path: ' + {cel.shown("t")} + ' cannot be served: ' + reason)
  .join(' '))""")


def wrong_backends() -> str:
    """Backends that are no Services; one text for each rule, and one for the default backend."""
    told = cel.text(f" {CODES['backend-unsupported'].means} {CODES['backend-unsupported'].fix} [backend-unsupported]")
    default = f"""[object.spec].filter(s, has(s.defaultBackend) && has(s.defaultBackend.resource)
  && !variables.before.exists(o, has(o.spec.defaultBackend) && o.spec.defaultBackend == s.defaultBackend))
.map(s, 'spec.defaultBackend:' + {told})"""
    of_path = f"""[p.backend].filter(b, has(b.resource)
  && !variables.before.exists(o, o.spec.?rules.orValue([]).exists(s,
    s.?http.paths.orValue([]).exists(q, q.backend == b))))
  .map(b, '.backend:' + {told})"""
    return _sum([default, _in_rules(of_path)])


def forbidden_catch_all() -> str:
    """A default backend where the operator allows none."""
    doc = CODES["catch-all-disabled"]
    return f"""[object.spec].filter(s, !variables.catchAllAllowed && has(s.defaultBackend)
  && !variables.before.exists(o, has(o.spec.defaultBackend)))
.map(s, {cel.text(f"spec.defaultBackend: {doc.means} {doc.fix} [catch-all-disabled]")})"""


def without_effect() -> str:
    """Known annotations that this version does not carry out."""
    names = _names(Verdict.UNSUPPORTED)
    told = f"{registry.TOLD[Verdict.UNSUPPORTED]} {CODES['annotation-unsupported'].fix}"
    words = sorted({HARMLESS.get(name, "") for name in names})
    groups = [(_keys(name for name in names if HARMLESS.get(name, "") == word), word) for word in words]
    groups += [
        (f"(variables.firewallMayBeMissing ? {_keys([name])} : [])", HARMLESS[name]) for name in sorted(FIREWALL)
    ]
    return _sum(_annotations(keys, _asks(word), cel.text(told), "unsupported") for keys, word in groups)


def unknown() -> str:
    """Annotations with one of our prefixes that no version knows."""
    told = cel.text(f"{registry.UNKNOWN_TOLD} It has no effect: most likely its name has a typo.")
    theirs = _annotations(
        "variables.named",
        f"{_VALUE} != '' && !({_NAME} in {cel.texts(sorted(VERDICTS))})",
        told,
        "unknown",
    )
    keys = f"variables.changed.filter(k, k.startsWith({cel.text(OUR_PREFIX)}))"
    known = cel.texts(sorted(OUR_PREFIX + name for name in OUR_ANNOTATIONS))
    return _sum([theirs, _annotations(keys, f"!(k in {known})", told, "unknown")])


def useless_tls_hosts() -> str:
    """Hosts of TLS sections that no rule can have, so their certificate is for nobody."""
    before = "o.spec.?tls.orValue([]).exists(u, u.?hosts.orValue([]).exists(g, g == h))"
    where = "'spec.tls[' + string(object.spec.tls.indexOf(t)) + '].hosts[' + string(t.hosts.indexOf(h)) + ']: '"
    told = cel.text(
        f" is not a host that a rule can have, so it is without effect. {CODES['host-invalid'].fix} [host-invalid]"
    )
    return f"""object.spec.?tls.orValue([]).map(t, t.?hosts.orValue([])
.filter(h, {_no_host("h")} && !variables.before.exists(o, {before}))
.map(h, {where} + {cel.shown("h")} + {told})
.join(' ')).filter(sentence, sentence != '')"""


def _path_reason() -> str:
    """Why the path `p` with the text `t` cannot be served; an empty string where it can."""
    size = "bytes(t).size()"
    quoted = f"{size} + 2 * {cel.count_of('t', paths.SPECIAL)} + 9 * (t.split('$').size() - 1)"
    rules = (paths.CHARACTERS, paths.ENCODED)
    steps = [
        (_breaks(paths.ALWAYS), _because(paths.ALWAYS.reason)),
        (f"{size} > {paths.MAX_PATH_BYTES}", _because(paths.TOO_LONG)),
        (f"t.size() > {_SURELY_SHORT} && {quoted} > {paths.MAX_QUOTED_BYTES}", _because(paths.TOO_LONG_QUOTED)),
        (f"{_EXPRESSION} && {_breaks(paths.REGEX)}", _because(paths.REGEX.reason, "path-regex-invalid")),
        (f"{_SPECIFIC} && {_breaks(paths.EXPRESSION)}", _because(paths.EXPRESSION.reason)),
        (_SPECIFIC, "''"),
        (f"variables.strictPaths && {_breaks(paths.STRICT)}", _because(paths.STRICT.reason)),
        *((_breaks(rule), _because(rule.reason, found=cel.first_of("t", rule.pattern))) for rule in rules),
    ]
    return "\n    ".join(f"{condition} ? {reason} :" for condition, reason in steps) + " ''"


def _breaks(rule: paths.Rule) -> str:
    """Whether the text `t` breaks the rule."""
    return cel.any_of("t", rule.pattern) if rule.banned else "!" + cel.all_of("t", rule.pattern)


def _because(reason: str, code: str = "path-invalid", found: str = "") -> str:
    """The reason, with `found` (CEL) in the place of {}, and what to do."""
    before, place, after = reason.partition("{}")
    end = f"{after}. {CODES[code].fix} [{code}]"
    return f"{cel.text(before)} + strings.quote({found}) + {cel.text(end)}" if place else cel.text(before + end)


def _stood_there() -> str:
    return """variables.before.exists(o, o.spec.?rules.orValue([]).exists(s,
      s.?http.paths.orValue([]).exists(q, q.pathType == p.pathType && q.?path.orValue('/') == t)))"""


def _in_rules(sentences: str) -> str:
    """`sentences` is a list for the path `p` of the rule `r`, each beginning with the field below that path."""
    where = (
        "'spec.rules[' + string(object.spec.rules.indexOf(r)) + '].http.paths[' + string(r.http.paths.indexOf(p)) + ']'"
    )
    return f"""object.spec.?rules.orValue([]).map(r, r.?http.paths.orValue([]).map(p, {sentences}
  .filter(sentence, sentence != '')
  .map(sentence, {where} + sentence)
  .join(' ')).filter(sentence, sentence != '').join(' ')).filter(sentence, sentence != '')"""


def _annotations(keys: str, wrong: str, told: str, code: str) -> str:
    """Sentences about those of the annotations `keys` that are wrong. The key is `k`."""
    return f"""{keys}
.filter(k, {wrong})
.map(k, 'metadata.annotations[' + k + ']: ' + {told} + ' [annotation-{code}]')"""


def _asks(harmless: str) -> str:
    """Whether the annotation `k` asks for something: its value is neither empty nor the harmless one."""
    return f"!({_VALUE}.lowerAscii() in {cel.texts(dict.fromkeys(('', harmless)))})"


def _not_in(grammar: values.Grammar[Any], annotations: Iterable[Annotation[Any]]) -> str:
    names = list(annotations)
    too_long = f"{_VALUE}.size() > {values.LONGEST}"
    wrong = f"{_VALUE} != '' && ({too_long} || !{cel.all_of(_VALUE, grammar.pattern)})"
    expected = f"{too_long} ? 'no more than {values.LONGEST} characters' : {cel.text(grammar.expected)}"
    told = f"{cel.shown(_VALUE)} + ' is not valid: expected ' + ({expected}) + '; it would be ignored.'"
    ours = cel.texts(OUR_PREFIX + a.name for a in names if a.ours)
    keys = f"({_keys(a.name for a in names if not a.ours)} + variables.changed.filter(k, k in {ours}))"
    return _annotations(keys, wrong, told, "invalid")


def _no_host(subject: str) -> str:
    return f"(!{cel.all_of(subject, hosts.NAME)} || {cel.all_of(subject, hosts.ADDRESS)})"


def _names(verdict: Verdict) -> list[str]:
    return sorted(name for name, found in VERDICTS.items() if found is verdict)


def _keys(names: Iterable[str]) -> str:
    return f"variables.named.filter(k, {_NAME} in {cel.texts(names)})"


def _sum(lists: Iterable[str]) -> str:
    return "\n+ ".join(lists)
