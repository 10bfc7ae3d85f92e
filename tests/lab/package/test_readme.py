"""What README tells a newcomer to type, typed on a booted Debian machine."""

import re
from collections.abc import Iterator

import pytest

from tests.lab.booted import booted
from tests.lab.package.building import BACKUPS, CONFIGURATION, ROOT, Packages
from tests.lab.system.machines import BY_NETWORK, BY_UPSTREAM, System, prepare

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # the first one makes the tree

BACK_S = 15.0
HEADING = "## From nothing to protected, and back"
CHECK = "secdns check"
# The machine has no sudo, and nobody who says yes.
SHELL = 'cd /srv/clone; sudo() { case $1 in apt) shift; apt-get -qq -y "$@";; *) "$@";; esac; }; '


def session() -> list[str]:
    """Give the commands of the first block below the heading, without what they do in words."""
    text = (ROOT / "README.md").read_text()
    found = re.search(r"```sh\n(.*?)```", text[text.index(HEADING) :], re.S)
    assert found is not None
    return [line.partition("#")[0].strip() for line in found[1].splitlines()]


@pytest.fixture(scope="module")
def machine(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    layer = tmp_path_factory.mktemp("newcomer") / "layer"
    bind = prepare(layer, "networkmanager") | {packages.first.parent: "/srv/packages"}
    (layer / "usr/local/bin/secdns").unlink()  # what runs is the package's
    with booted(layer, bind=bind) as guest:
        system = System(guest)
        system.do("mkdir", "-p", "/srv/clone/dist")
        system.do("ln", "-s", f"/srv/packages/{packages.first.name}", "/srv/clone/dist")
        system.wait_for(BY_NETWORK, BACK_S)
        yield system


def test_session_of_a_newcomer_does_what_it_says_need2(machine: System) -> None:
    before = machine.snapshot()
    build, *commands = session()
    assert build == "packaging/debian/build"
    told: dict[str, str] = {}
    asked: list[tuple[str, bool]] = []
    for command in commands:
        done = machine.run("bash", "-c", SHELL + command)
        assert done.returncode == 0 or command == CHECK, done.stdout + done.stderr
        told[command] = done.stdout
        asked.append((command, machine.look_up() == BY_UPSTREAM))
    assert asked == [
        ("sudo apt install ./dist/secdns_*.deb", False),
        ("sudo secdns system on", True),
        (CHECK, True),
        ("sudo secdns pause 5m", False),
        ("sudo secdns resume", True),
        ("sudo secdns system off", False),
        ("sudo apt purge secdns", False),
    ]
    # The tree's upstream knows one name and signs nothing; all else is to pass.
    assert set(re.findall(r"^FAIL +(\S+)", told[CHECK], re.M)) == {"upstream"}
    assert {"daemon", "look-up", "certificate"} <= set(re.findall(r"^pass +(\S+)", told[CHECK], re.M))
    after = machine.snapshot()
    kept = before.keys() - BACKUPS - CONFIGURATION
    assert {key: after.get(key) for key in kept} == {key: before[key] for key in kept}
