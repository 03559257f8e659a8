"""End-to-end tests: the controller against real nginx and a real Kubernetes API."""
