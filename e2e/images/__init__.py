"""The images of the end-to-end tests, and the docker engine that builds them.

`ensure_images()` gives their names and one archive of all; `engine()` gives an engine, private if none runs.
"""

from e2e.images.build import Images, ensure_images, load_images
from e2e.images.engine import Engine, EngineUnavailable, engine

__all__ = ["Engine", "EngineUnavailable", "Images", "engine", "ensure_images", "load_images"]
