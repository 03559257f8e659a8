"""The version, in one place: the wheel, `headrace --version`, the metrics and the image all read it from here."""

__version__ = "0.1.0"
