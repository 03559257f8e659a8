"""Tests of the built image, in containers of a real docker engine (root, or a running engine)."""
