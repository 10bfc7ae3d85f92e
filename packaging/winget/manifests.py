#!/usr/bin/env python3
"""Write the manifests of a release for winget: packaging/winget/manifests.py ZIP URL DIRECTORY

ZIP is what packaging/windows/secdns.spec tells how to make, URL is where it can be downloaded, DIRECTORY is
where the three files go. Their keys are those of winget's schema 1.10.0; neither `winget validate` nor
`winget install` has seen them: not tried on a real Windows yet.
"""

import hashlib
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from secdns import __version__

NAME = "secdns.secdns"
SCHEMA = "1.10.0"
PROGRAM = "secdns/secdns.exe"

HEAD = """\
# Made by packaging/winget/manifests.py. Not tried on a real Windows yet.
# yaml-language-server: $schema=https://aka.ms/winget-manifest.{kind}.{schema}.schema.json
PackageIdentifier: {name}
PackageVersion: {version}
"""
VERSION = """\
DefaultLocale: en-US
"""
# Its libraries lie beside secdns.exe, so a link to that alone would not do: its folder goes into PATH.
INSTALLER = """\
Platform:
- Windows.Desktop
MinimumOSVersion: 10.0.17763.0
InstallerType: zip
NestedInstallerType: portable
NestedInstallerFiles:
- RelativeFilePath: secdns\\secdns.exe
  PortableCommandAlias: secdns
ArchiveBinariesDependOnPath: true
Commands:
- secdns
Installers:
- Architecture: x64
  InstallerUrl: {url}
  InstallerSha256: {sha256}
"""
LOCALE = """\
PackageLocale: en-US
Publisher: The secdns authors
PackageName: secdns
License: Apache-2.0
ShortDescription: Encrypted-DNS stub resolver for the machine you sit at
Description: |-
  Programs ask secdns in plain DNS, and every query leaves as DNS over TLS, DNS over HTTPS or DNS over QUIC.
  It checks every DNSSEC signature itself, and says in plain words why it refuses an answer.
Moniker: secdns
Tags:
- dns
- dns-over-https
- dns-over-quic
- dns-over-tls
- dnssec
InstallationNotes: |-
  As an administrator, `secdns run` in one window and `secdns system on` in another make it the resolver
  of this machine. Before you uninstall it: secdns system off
"""
TAIL = """\
ManifestType: {kind}
ManifestVersion: {schema}
"""
FILES = {
    "version": ("", VERSION),
    "installer": (".installer", INSTALLER),
    "defaultLocale": (".locale.en-US", LOCALE),
}


def main() -> int:
    """Write the three files."""
    if len(sys.argv) != 4:
        print("packaging/winget/manifests.py: hint: ZIP URL DIRECTORY", file=sys.stderr)
        return 64
    archive, url, directory = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    with zipfile.ZipFile(archive) as file:
        if PROGRAM not in file.namelist():
            print(f"packaging/winget/manifests.py: error: {archive} has no {PROGRAM}", file=sys.stderr)
            return 65
    digest = hashlib.sha256(archive.read_bytes()).hexdigest().upper()
    directory.mkdir(parents=True, exist_ok=True)
    for kind, (suffix, body) in FILES.items():
        values = {
            "kind": kind,
            "schema": SCHEMA,
            "name": NAME,
            "version": __version__,
            "url": url,
            "sha256": digest,
        }
        text = "".join(part.format(**values) for part in (HEAD, body, TAIL))
        (directory / f"{NAME}{suffix}.yaml").write_text(text, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
