"""Tests on real nodes with real pods, and the clusters they run on."""
