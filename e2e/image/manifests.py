"""What the container under test reads: one host in plain, one with TLS."""

from __future__ import annotations

import base64
from pathlib import Path

from e2e.controlplane.certificates import Authority

_INGRESS = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}, namespace: default}}
spec:
  {tls}
  rules:
    - host: {host}
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {{service: {{name: backend, port: {{number: 80}}}}}}
"""

_BACKEND = """\
apiVersion: v1
kind: Service
metadata: {{name: backend, namespace: default}}
spec:
  ports: [{{name: http, port: 80, targetPort: {port}}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: backend-1
  namespace: default
  labels: {{kubernetes.io/service-name: backend}}
addressType: IPv4
ports: [{{name: http, port: {port}, protocol: TCP}}]
endpoints:
  - addresses: ["127.0.0.1"]
    conditions: {{ready: true}}
"""

_SECRET = """\
apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: default}}
type: kubernetes.io/tls
data:
  tls.crt: {certificate}
  tls.key: {key}
"""


class Manifests:
    """A folder of them, and the authority that its certificates are from."""

    def __init__(self, folder: Path, backend_port: int) -> None:
        """`folder` is made; a user that is not root must be able to read it."""
        self.folder = folder / "manifests"
        self.backend_port = backend_port
        self.folder.mkdir()
        certificates = folder / "certificates"
        certificates.mkdir()
        self._authority = Authority(certificates)
        self.write("backend", _BACKEND.format(port=backend_port))

    @property
    def authority(self) -> Path:
        """The certificate a client has to trust."""
        return self._authority.certificate

    def serve(self, host: str) -> None:
        """Have `host` served in plain."""
        self.write(host, _INGRESS.format(name=host.partition(".")[0], host=host, tls=""))

    def serve_tls(self, host: str) -> None:
        """Have `host` served with a certificate of its own."""
        name = host.partition(".")[0]
        pair = self._authority.server(name, [host], [])
        self.write(f"{host}-tls", _SECRET.format(name=f"{name}-tls", **_encoded(pair.certificate, pair.key)))
        tls = f"tls: [{{hosts: [{host}], secretName: {name}-tls}}]"
        self.write(host, _INGRESS.format(name=name, host=host, tls=tls))

    def withdraw(self, host: str) -> None:
        """Take the Ingress of `host` away."""
        (self.folder / f"{host}.yaml").unlink()

    def write(self, name: str, text: str) -> None:
        """One file, replaced at once."""
        unfinished = self.folder / f".{name}"
        unfinished.write_text(text)
        unfinished.rename(self.folder / f"{name}.yaml")


def _encoded(certificate: Path, key: Path) -> dict[str, str]:
    return {
        "certificate": base64.b64encode(certificate.read_bytes()).decode(),
        "key": base64.b64encode(key.read_bytes()).decode(),
    }
