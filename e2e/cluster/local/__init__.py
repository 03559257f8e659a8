"""A real Kubernetes node on this machine: no docker, no registry, nothing left behind."""
