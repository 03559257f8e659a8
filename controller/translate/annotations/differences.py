"""What users see differently here than with ingress-nginx, although it is carried out.

One line for each name, as a sentence that says what happens here and what happened there. The key is the name of an
annotation without its prefix, or `configmap:` and a key of the ConfigMap. `headrace migrate report` shows the lines for
what a user has; the page on compatibility lists them all. A name that is not carried out stands in the registry, not
here.
"""

from __future__ import annotations

DIFFERENCES: dict[str, str] = {}
