#!/usr/bin/env python3
"""Print a Homebrew formula for a released sdist: packaging/homebrew/formula.py SDIST URL HOMEPAGE > secdns.rb

SDIST is the file, URL is where it can be downloaded, HOMEPAGE what people look at. What secdns needs on macOS
is found with uv (pip install uv), which asks PyPI. The formula was read by Ruby and RuboCop and never by
`brew`: not tried on a real Mac yet.
"""

import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = "3.13"
# Homebrew builds each resource from its sdist, and has these itself, so that nobody needs Rust, or libjpeg.
BY_HOMEBREW = ("certifi", "cffi", "cryptography", "pillow", "pycparser")

FORMULA = """\
# Made by packaging/homebrew/formula.py. Not tried on a real Mac yet.
class Secdns < Formula
  include Language::Python::Virtualenv

  desc "Encrypted-DNS stub resolver for the machine you sit at"
  homepage "{homepage}"
  url "{url}"
  sha256 "{sha256}"
  license "Apache-2.0"

  depends_on "certifi"
  depends_on "cffi"
  depends_on "cryptography"
  depends_on "openssl@3"
  depends_on "pillow"
  depends_on "python@{python}"

{resources}
  def install
    virtualenv_install_with_resources
    generate_completions_from_executable(bin/"secdns", shell_parameter_format: :click)
  end

  # As root: port 53 takes that.
  service do
    run [opt_bin/"secdns", "run"]
    keep_alive true
    require_root true
    log_path var/"log/secdns.log"
    error_log_path var/"log/secdns.log"
  end

  def caveats
    <<~EOS
      To have secdns start with the machine, and every program ask it:
        sudo brew services start secdns
        sudo secdns system on
      Before you uninstall it:
        sudo secdns system off
    EOS
  end

  test do
    assert_match version.to_s, shell_output("#{{bin}}/secdns --version")
    assert_match "NOERROR, from the upstream by DNS over TLS", shell_output("#{{bin}}/secdns demo --once")
  end
end
"""
RESOURCE = """\
  resource "{name}" do
    url "{url}"
    sha256 "{sha256}"
  end
"""


def main() -> int:
    """Print the formula."""
    if len(sys.argv) != 4:
        print("packaging/homebrew/formula.py: hint: SDIST URL HOMEPAGE", file=sys.stderr)
        return 64
    sdist, url, homepage = sys.argv[1:]
    print(formula(Path(sdist).read_bytes(), url, homepage, needed()), end="")
    return 0


def needed() -> list[dict[str, str]]:
    """Give name, url and sha256 of everything that secdns needs on macOS, with its icon in the menu bar."""
    program = Path(sys.executable).with_name("uv")
    argv = [str(program) if program.exists() else "uv", "pip", "compile", "--quiet"]
    argv += [
        "--format",
        "pylock.toml",
        "--extra",
        "tray",
        "--python-platform",
        "aarch64-apple-darwin",
        "--python-version",
        PYTHON,
    ]
    argv.append(str(ROOT / "pyproject.toml"))
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)  # noqa: S603
    found = []
    for package in tomllib.loads(done.stdout.decode())["packages"]:
        if package["name"] not in BY_HOMEBREW:
            # a wheel for every machine where there is no sdist, as of pystray
            source = package.get("sdist") or next(
                w for w in package["wheels"] if w["url"].endswith("-none-any.whl")
            )
            found.append(
                {"name": package["name"], "url": source["url"], "sha256": source["hashes"]["sha256"]}
            )
    return found


def formula(sdist: bytes, url: str, homepage: str, resources: list[dict[str, str]]) -> str:
    """Write the formula. Pure."""
    return FORMULA.format(
        homepage=homepage,
        url=url,
        sha256=hashlib.sha256(sdist).hexdigest(),
        python=PYTHON,
        resources="\n".join(RESOURCE.format(**resource) for resource in resources),
    )


if __name__ == "__main__":
    sys.exit(main())
