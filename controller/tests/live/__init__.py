"""Tests of the whole program: `headrace run --manifests` as a process, real nginx, real requests over loopback."""
