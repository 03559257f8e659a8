"""The controller's ConfigMap: its keys (`keys`), what becomes of each (`verdicts`), and its settings (`settings`)."""

from controller.translate.configmap.keys import CLOSING, GLOBAL_AUTH, PARSERS
from controller.translate.configmap.named import with_named_objects
from controller.translate.configmap.settings import settings_of
from controller.translate.configmap.verdicts import REFUSED_TEXTS, UNSUPPORTED, VERDICTS

__all__ = [
    "CLOSING",
    "GLOBAL_AUTH",
    "PARSERS",
    "REFUSED_TEXTS",
    "UNSUPPORTED",
    "VERDICTS",
    "settings_of",
    "with_named_objects",
]
