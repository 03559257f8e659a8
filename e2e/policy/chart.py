"""The chart's admission policies as objects, rendered by helm as an installation would."""

from __future__ import annotations

from e2e.chart.rendering import Object, render


def policies(*settings: str, release: str = "headrace") -> list[Object]:
    """The policies and bindings of the chart with these settings, which are of the form that `helm --set` takes."""
    return [each for each in render(*settings, release=release) if each["kind"].startswith("ValidatingAdmissionPolicy")]


def enabled(*settings: str, release: str = "headrace") -> list[Object]:
    return policies("admissionPolicy.enabled=true", *settings, release=release)
