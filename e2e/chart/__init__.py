"""The Helm chart: what it renders, what it refuses, and what a real API server says of it."""
