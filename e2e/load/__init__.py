"""The load tests of controller/tests/live, for a minute each. Needs no root and no cluster."""
