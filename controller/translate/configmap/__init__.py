"""The controller's ConfigMap: its keys (`keys`), what becomes of each (`verdicts`), and its settings (`settings`)."""

from controller.translate.configmap.keys import CLOSING, GLOBAL_AUTH, PARSERS
from controller.translate.configmap.settings import settings_of
from controller.translate.configmap.verdicts import UNSUPPORTED

__all__ = ["CLOSING", "GLOBAL_AUTH", "PARSERS", "UNSUPPORTED", "settings_of"]
