"""The controller's ConfigMap as typed MainSettings. A bad value costs its own key and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from controller.model.configuration import LogEscape, MainSettings
from controller.model.diagnostics import Effect
from controller.model.refs import FieldPath, ObjectKey
from controller.translate.annotations import values
from controller.translate.annotations.families.proxying import bytes_of
from controller.translate.annotations.registry import Verdict, nearest_name
from controller.translate.configmap.keys import ESCAPES, GLOBAL_AUTH, PARSERS, PROTECTING, SAFE
from controller.translate.configmap.verdicts import HARMLESS, SWITCHES, TOLD, VERDICTS
from controller.translate.findings import Findings


def settings_of(data: Mapping[str, str], owner: ObjectKey, findings: Findings) -> tuple[MainSettings, tuple[str, ...]]:
    """The settings, and the keys of protections that cannot be honoured and so close the routes."""
    parsed = dict(_parsed(data, owner, findings))
    protecting = PROTECTING if data.get("global-auth-url", "").strip() else PROTECTING - GLOBAL_AUTH
    unread = tuple(key for key in protecting & data.keys() if data[key].strip() and _attribute(key) not in parsed)
    escape = _escape(data, owner, findings)
    settings = dataclasses.replace(MainSettings(), log_format_escape=escape, **parsed)
    settings = _with_fitting_files(_with_fitting_buffers(settings, owner, findings), owner, findings)
    _warn_of_trust(settings, owner, findings)
    _warn_of_log_format(settings, owner, findings)
    closing = tuple(sorted(unread))
    for key in closing:
        but = ' but those with enable-global-auth: "false"' if key in GLOBAL_AUTH else ""
        findings.error(
            "configmap-key-unsupported",
            owner,
            FieldPath("data").key(key),
            f"This protection cannot be read, so every route{but} answers 503.",
            Effect.HOST_UNSERVED,
        )
    return settings, closing


def _with_fitting_buffers(settings: MainSettings, owner: ObjectKey, findings: Findings) -> MainSettings:
    """nginx refuses busy buffers that are smaller than one buffer or more than all buffers but one."""
    busy, size, number = settings.proxy_busy_buffers_size, settings.proxy_buffer_size, settings.proxy_buffers_number
    low, high = bytes_of(size), bytes_of(size) * (number - 1)
    if not busy or low <= bytes_of(busy) <= high:
        return settings
    reason = ValueError(f"{number} buffers of {size} want a size from {low} to {high} bytes")
    _report_invalid("proxy-busy-buffers-size", busy, reason, owner, findings)
    return dataclasses.replace(settings, proxy_busy_buffers_size="")


def _with_fitting_files(settings: MainSettings, owner: ObjectKey, findings: Findings) -> MainSettings:
    """nginx refuses temporary files that are smaller than one buffer."""
    most, size = settings.proxy_max_temp_file_size, settings.proxy_buffer_size
    if bytes_of(most) == 0 or bytes_of(most) >= bytes_of(size):
        return settings
    reason = ValueError(f"expected 0, or at least one buffer of {size}")
    _report_invalid("proxy-max-temp-file-size", most, reason, owner, findings)
    return dataclasses.replace(settings, proxy_max_temp_file_size=MainSettings().proxy_max_temp_file_size)


def _attribute(key: str) -> str:
    return key.replace("-", "_")


def _parsed(data: Mapping[str, str], owner: ObjectKey, findings: Findings) -> list[tuple[str, Any]]:
    found = []
    told: set[str] = set()
    for key, text in sorted(data.items()):
        parse = PARSERS.get(key)
        if parse is None:
            _report_unread(key, text, owner, findings, told)
        elif parse is values.boolean and not text.strip():
            found.append((_attribute(key), False))  # so it always was; elsewhere no text means the default
        elif text.strip():
            try:
                found.append((_attribute(key), parse(text.strip())))
            except ValueError as reason:
                _report_invalid(key, text, reason, owner, findings)
                if key in SAFE:
                    found.append((_attribute(key), SAFE[key]))
    return found


def _report_invalid(key: str, text: str, reason: ValueError, owner: ObjectKey, findings: Findings) -> None:
    shown = "The value" if key in _SECRET else repr(text if len(text) <= 80 else text[:77] + "...")
    findings.warning(
        "configmap-key-invalid",
        owner,
        FieldPath("data").key(key),
        f"{shown} is not valid: {reason}.",
        Effect.SETTING_IGNORED,
    )


_SECRET = frozenset({"ssl-session-ticket-key"})
_CODES = {
    Verdict.REFUSED: "configmap-key-refused",
    Verdict.OBSOLETE: "configmap-key-obsolete",
    Verdict.UNSUPPORTED: "configmap-key-unsupported",
}


def _report_unread(key: str, text: str, owner: ObjectKey, findings: Findings, told: set[str]) -> None:
    """`told`: what was said of other keys; what is not carried out for the same reason is told once."""
    verdict = VERDICTS.get(key)
    if not text.strip() or verdict is Verdict.SILENT or key in ESCAPES:
        return
    where = FieldPath("data").key(key)
    if verdict is None:
        near = nearest_name(key, VERDICTS)
        hint = f"Did you mean {near}?" if near else ""
        findings.warning("configmap-key-unknown", owner, where, "There is no such key.", Effect.SETTING_IGNORED, hint)
        return
    message, instead = TOLD[verdict][key]
    if (key in HARMLESS | SWITCHES and not _is_true(text)) or (
        verdict is not Verdict.REFUSED and message + instead in told
    ):
        return
    told.add(message + instead)
    tell = findings.error if verdict is Verdict.REFUSED else findings.warning
    tell(_CODES[verdict], owner, where, message, Effect.SETTING_IGNORED, instead)


def _is_true(text: str) -> bool:
    try:
        return values.boolean(text.strip())
    except ValueError:
        return False


def _escape(data: Mapping[str, str], owner: ObjectKey, findings: Findings) -> LogEscape:
    for key, escape in ESCAPES.items():
        try:
            if data.get(key) and values.boolean(data[key]):
                return escape
        except ValueError as reason:
            _report_invalid(key, data[key], reason, owner, findings)
    return LogEscape.DEFAULT


def _warn_of_log_format(settings: MainSettings, owner: ObjectKey, findings: Findings) -> None:
    if settings.log_format_upstream.lstrip().startswith("{") and settings.log_format_escape is not LogEscape.JSON:
        findings.warning(
            "log-format-unescaped",
            owner,
            FieldPath("data").key("log-format-upstream"),
            "The format looks like JSON and is not escaped as JSON, so clients can forge fields of log lines.",
            Effect.NONE,
            "Set log-format-escape-json to true.",
        )


def _warn_of_trust(settings: MainSettings, owner: ObjectKey, findings: Findings) -> None:
    reads_header = settings.use_forwarded_headers or settings.enable_real_ip
    if reads_header and "0.0.0.0/0" in settings.proxy_real_ip_cidr:
        findings.warning(
            "everyone-trusted",
            owner,
            FieldPath("data").key("proxy-real-ip-cidr"),
            "The client address comes from a header, and everyone may send that header.",
            Effect.NONE,
            "Set proxy-real-ip-cidr to the networks of your load balancer.",
        )
