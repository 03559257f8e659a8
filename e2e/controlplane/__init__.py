"""A real Kubernetes control plane and real HTTP backends for tests, without containers."""
