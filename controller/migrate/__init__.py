"""The way from ingress-nginx: what carries over, what takes the place of the rest, and whether both answer alike.

Nothing here writes to a cluster. `report` and `snippets` are pure; `compare` asks the two addresses it is given, and no
other.
"""
