"""The upstream that the commands ask, and where they find their configuration."""

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from secdns.config import parse
from secdns.daemon import Daemon
from secdns.endpoint import Endpoint
from secdns.testing import DEMO_ZONES, FakeUpstream, SignedZones, signed_demo_zones
from tests.discovery.designating import designate
from tests.endpoint.stamps import DOH, DOT, plain_stamp, stamp
from tests.forwarder.stage import table
from tests.transport.proxying import GoodProxy

ROOT = {".": {"@": {"NS": "a.root.test."}}}


@pytest.fixture
def zones() -> SignedZones:
    """The demo's zones, signed."""
    return signed_demo_zones()


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    """An upstream with the demo's zones, unsigned and without the root."""
    async with FakeUpstream(DEMO_ZONES) as up:
        yield up


@pytest.fixture
async def signed(zones: SignedZones) -> AsyncIterator[FakeUpstream]:
    """An upstream with the demo's zones, signed from the root down, that does all that an upstream should."""
    async with FakeUpstream(zones, padding=True) as up:
        yield up


@pytest.fixture
async def designating() -> AsyncIterator[FakeUpstream]:
    """A plain resolver that says where it speaks encrypted; its DNS over HTTPS is somebody else's."""
    async with FakeUpstream(ROOT, cert="name-and-ip") as up:
        here = 'ipv4hint="127.0.0.1"'
        designate(
            up,
            f'1 dns.test. alpn="dot" port="{up.port("tls")}" {here}',
            f'2 dns.test. alpn="doq" port="{up.port("quic")}" {here}',
            f'3 other.test. alpn="h2" port="{up.port("https")}" {here} key7="/dns-query{{?dns}}"',
            '4 dns.test. alpn="coap"',
        )
        yield up


@pytest.fixture
async def undesignating() -> AsyncIterator[FakeUpstream]:
    """A plain resolver that has nothing encrypted."""
    async with FakeUpstream() as up:
        designate(up)
        yield up


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory where secdns.toml is looked for, and nowhere else."""
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections: bound, so that nobody else gets it, and deaf."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
async def proxy() -> AsyncIterator[GoodProxy]:
    """A SOCKS5 proxy that connects to 127.0.0.1, whatever the host."""
    started = GoodProxy("socks5")
    async with started.running():
        yield started


@pytest.fixture
async def daemon(upstream: FakeUpstream, home: Path) -> AsyncIterator[Daemon]:
    """A daemon with two upstreams that are one, and a resolver of its network; the commands find it."""
    toml = '[dnssec]\nmode = "off"\n[server]\nlisten = ["127.0.0.1:0"]\n[log]\nnames = true\n'
    plain = Endpoint("udp", "127.0.0.1", upstream.port("udp"), addresses=("127.0.0.1",))
    started = Daemon(
        parse(toml + table(upstream, "first") + table(upstream, "second"), "my.toml"),
        hosts_file=None,
        resolvers=lambda: (plain,),
    )
    started.listen()
    started.open_control(home / "run" / "control.sock")
    yield started
    await started.stop()


@pytest.fixture
def world(
    daemon: Daemon,
    upstream: FakeUpstream,
    signed: FakeUpstream,
    proxy: GoodProxy,
    designating: FakeUpstream,
    undesignating: FakeUpstream,
    zones: SignedZones,
    home: Path,
    closed_port: int,
) -> dict[str, str]:
    """The names that scripts may use in braces."""
    first_is_down = home / "first-is-down.toml"
    first_is_down.write_text(
        f'''
        [[upstream]]
        name = "down"
        url = "tls://127.0.0.1:{closed_port}"

        [[upstream]]
        name = "works"
        url = "{upstream.tls_url}"
        addresses = ["127.0.0.1"]
        ca_file = "{upstream.ca_file}"
        '''
    )
    all_down = home / "all-down.toml"
    all_down.write_text(
        f'[[upstream]]\nname = "one"\nurl = "tls://127.0.0.1:{closed_port}"\n'
        f'[[upstream]]\nname = "two"\nurl = "https://127.0.0.1:{closed_port}"\n'
    )
    stamp_file = home / "stamp.toml"
    stamp_file.write_text(
        f'''
        [[upstream]]
        name = "stamped"
        url = "{stamp(DOT, f"dns.test:{upstream.port('tls')}", address="127.0.0.1")}"
        ca_file = "{upstream.ca_file}"
        '''
    )
    mispinned = home / "mispinned.toml"
    mispinned.write_text(
        f'''
        [[upstream]]
        name = "pinned"
        url = "{signed.tls_url}"
        addresses = ["127.0.0.1"]
        ca_file = "{signed.ca_file}"
        pin_sha256 = ["{"A" * 43}="]
        '''
    )
    no_daemon = home / "no-daemon.toml"
    no_daemon.write_text(
        f'[server]\nlisten = ["127.0.0.1:{closed_port}"]\n[[upstream]]\nname = "works"\n'
        f'url = "{signed.tls_url}"\naddresses = ["127.0.0.1"]\nca_file = "{signed.ca_file}"\n'
    )
    names = "--name example.test --large large.example.test"
    broken = home / "broken.toml"
    broken.write_text("[server]\nlisten = 53\n")
    return {
        "tls": upstream.tls_url,
        "https": upstream.https_url,
        "quic": upstream.url("quic"),
        "h3": upstream.url("h3"),
        "udp": upstream.udp_url,
        "tcp": upstream.tcp_url,
        "port": str(upstream.port("udp")),
        "designating": f"127.0.0.1:{designating.port('udp')}",
        "designating_ca": designating.ca_file,
        "designated_tls": designating.tls_url,
        "designated_quic": designating.url("quic"),
        "designated_https": designating.url("https", "other.test"),
        "undesignating": f"127.0.0.1:{undesignating.port('udp')}",
        "stamp": stamp(DOH, f"dns.test:{upstream.port('https')}", address="127.0.0.1"),
        "plain_stamp": plain_stamp(f"127.0.0.1:{upstream.port('udp')}"),
        "misfit": stamp(DOT, f"dns.test:{upstream.port('tls')}", address="127.0.0.1", hashes=[b"\xab" * 32]),
        "stamp_file": str(stamp_file),
        "ca": f"--ca-file {upstream.ca_file}",
        "closed": str(closed_port),
        "trust": f"--ca-file {upstream.ca_file} --address 127.0.0.1",
        "proxy": proxy.proxy.url,
        "signed": f"@{signed.tls_url} --ca-file {signed.ca_file} --address 127.0.0.1",
        "signed_url": signed.tls_url,
        "signed_quic": signed.url("quic"),
        "signed_pin": signed.pin_sha256,
        "ours": f"--ca-file {signed.ca_file} --address 127.0.0.1 {names}",
        "mispinned": str(mispinned),
        "anchor": f"--trust-anchor '{zones.trust_anchors()[0]}'",
        "home": str(home),
        "nobody": f"--socket {home}/nobody.sock",
        "daemon": f"@127.0.0.1:{daemon.bound[0].port}",
        "daemon_port": str(daemon.bound[0].port),
        "first_is_down": str(first_is_down),
        "all_down": str(all_down),
        "broken": str(broken),
        "no_daemon": str(no_daemon),
    }
