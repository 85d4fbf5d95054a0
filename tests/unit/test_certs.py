"""``lanternpipe certs``: what it writes works for TLS, and what is there is not lost."""

from __future__ import annotations

import json
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lanternpipe.certificates import Authority, read
from lanternpipe.cli import main
from lanternpipe.errors import ConfigError
from lanternpipe.ops.certs import AUTHORITY_DAYS, CLIENTS, DAYS, make_certs

NOW = datetime.now(UTC)
HANDSHAKE_SECONDS = 10.0


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def shake_hands(folder: Path, host: str, client: str | None = None) -> str | None:
    """Greet a server with the broker's certificate; return the name by which it knows us."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.crt")
    server.load_cert_chain(folder / "kafka.pem")
    server.verify_mode = ssl.CERT_OPTIONAL
    greeter = ssl.create_default_context(cafile=folder / "ca.crt")
    greeter.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does of itself
    if client:
        greeter.load_cert_chain(folder / f"{client}.crt", folder / f"{client}.key")
    known: list[str | None] = []

    def serve(listener: socket.socket) -> None:
        try:
            with (
                listener.accept()[0] as raw,
                server.wrap_socket(raw, server_side=True) as line,
            ):
                found = line.getpeercert()
                known.append(found["subject"][0][0][1] if found else None)
                line.sendall(b"!")
        except OSError:
            return  # the other side tells why

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(HANDSHAKE_SECONDS)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), HANDSHAKE_SECONDS) as raw,
                greeter.wrap_socket(raw, server_hostname=host) as line,
            ):
                line.recv(1)
        finally:
            thread.join(HANDSHAKE_SECONDS)
    return known[0]


@pytest.mark.parametrize("host", ["kafka", "localhost", "127.0.0.1", "broker.example"])
def test_server_and_client_trust_each_other(tmp_path: Path, host: str) -> None:
    """A broker is trusted by all its names, and knows a client by its certificate."""
    make_certs(tmp_path, ["broker.example"], now=NOW)

    assert shake_hands(tmp_path, host, "producer") == "producer"
    assert shake_hands(tmp_path, host) is None


def test_wrong_name_is_refused(tmp_path: Path) -> None:
    """A broker is not trusted at a host that its certificate does not name."""
    make_certs(tmp_path, now=NOW)

    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(tmp_path, "elsewhere.example")


def test_expired_is_refused(tmp_path: Path) -> None:
    """A broker is not trusted after its certificate has ended."""
    make_certs(tmp_path, now=NOW - timedelta(days=2), days=1)

    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake_hands(tmp_path, "kafka")


def test_what_is_in_force_is_kept(tmp_path: Path) -> None:
    """A second run writes nothing, and says so."""
    make_certs(tmp_path, now=NOW)
    before = contents(tmp_path)

    report = make_certs(tmp_path, now=NOW + timedelta(days=29))

    assert contents(tmp_path) == before
    assert not [each for each in report.certificates if each.written]
    assert any("nothing was written" in line for line in report.lines())
    assert "For development" in [*report.lines()][-1]


def test_missing_ones_are_added(tmp_path: Path) -> None:
    """A new client gets a certificate, and no file of the others changes."""
    make_certs(tmp_path, now=NOW)
    before = contents(tmp_path)

    make_certs(tmp_path, clients=["auditor"], now=NOW)

    after = contents(tmp_path)
    assert after.keys() - before.keys() == {"auditor.crt", "auditor.key"}
    assert {name: after[name] for name in before} == before


def test_rotation_keeps_authority_and_names(tmp_path: Path) -> None:
    """Rotated certificates are new, of the same authority, and for the same hosts and more."""
    make_certs(tmp_path, ["a.example"], now=NOW)
    before = contents(tmp_path)

    make_certs(tmp_path, ["b.example"], now=NOW, rotate=True)

    after = contents(tmp_path)
    assert {name for name in after if after[name] == before[name]} == {"ca.crt", "ca.key"}
    names = read(after["kafka.crt"]).names
    assert {"kafka", "127.0.0.1", "a.example", "b.example"} <= {*names}
    assert shake_hands(tmp_path, "b.example", "observer") == "observer"


def test_ended_ones_are_issued_anew(tmp_path: Path) -> None:
    """What has ended is replaced without being asked; an authority takes all it signed along."""
    make_certs(tmp_path, now=NOW)
    before = contents(tmp_path)

    make_certs(tmp_path, now=NOW + timedelta(days=DAYS + 1))
    later = contents(tmp_path)
    make_certs(tmp_path, now=NOW + timedelta(days=AUTHORITY_DAYS + 1))
    latest = contents(tmp_path)

    assert {name for name in later if later[name] == before[name]} == {"ca.crt", "ca.key"}
    assert not {name for name in latest if latest[name] == later[name]}


def test_half_a_pair_is_issued_anew(tmp_path: Path) -> None:
    """A certificate that has lost its key, or has another's, is of no use and replaced."""
    make_certs(tmp_path, now=NOW)
    (tmp_path / "producer.key").unlink()
    (tmp_path / "observer.key").write_bytes((tmp_path / "replayer.key").read_bytes())
    (tmp_path / "kafka.pem").unlink()

    report = make_certs(tmp_path, now=NOW)

    written = {each.name for each in report.certificates if each.written}
    assert written == {"producer", "observer", "kafka"}
    assert shake_hands(tmp_path, "kafka", "observer") == "observer"


def test_life_is_what_is_asked_but_no_longer_than_the_authority(tmp_path: Path) -> None:
    """A certificate never outlives the authority that vouches for it."""
    report = make_certs(tmp_path / "a", now=NOW, days=7)
    ends = {each.name: each.ends for each in report.certificates}
    assert ends["kafka"] == pytest.approx((NOW + timedelta(days=7)).timestamp(), abs=2)
    assert ends["ca"] == pytest.approx((NOW + timedelta(days=365)).timestamp(), abs=2)

    report = make_certs(tmp_path / "b", now=NOW, days=1_000)
    ends = {each.name: each.ends for each in report.certificates}
    assert ends["kafka"] == pytest.approx(ends["ca"], abs=2)


def test_keys_are_private(tmp_path: Path) -> None:
    """Keys are for the owner alone, and so is the folder; keys are PKCS#8, as Kafka wants them."""
    folder = tmp_path / "certs"
    make_certs(folder, now=NOW)

    secret = [*folder.glob("*.key"), *folder.glob("*.pem")]
    assert len(secret) == len(CLIENTS) + 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in secret} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    begin = b"-----BEGIN PRIVATE KEY-----"  # pragma: allowlist secret
    assert all(file.read_bytes().startswith(begin) for file in secret)
    assert (folder / "kafka.pem").read_bytes().endswith((folder / "kafka.crt").read_bytes())


def test_what_others_made_is_left_alone(tmp_path: Path) -> None:
    """A certificate of another authority is never overwritten, with --rotate neither."""
    make_certs(tmp_path, now=NOW)
    foreign = Authority.make("other", now=NOW, days=1).issue("producer", now=NOW, days=1)
    foreign.write(tmp_path / "producer.crt", tmp_path / "producer.key")
    before = contents(tmp_path)

    for rotate in (False, True):
        with pytest.raises(ConfigError, match=r"producer\.crt is not of the authority"):
            make_certs(tmp_path, now=NOW, rotate=rotate)
    (tmp_path / "ca.key").write_text("none")
    with pytest.raises(ConfigError, match="not an authority"):
        make_certs(tmp_path, now=NOW)

    assert contents(tmp_path) == {**before, "ca.key": b"none"}


def test_a_name_more_needs_a_rotation(tmp_path: Path) -> None:
    """A host that the certificate in force does not name is not passed over in silence."""
    make_certs(tmp_path, now=NOW)

    with pytest.raises(ConfigError, match=r"c\.example: .*kafka\.crt .*--rotate"):
        make_certs(tmp_path, ["c.example"], now=NOW)


def test_servers_are_trusted_at_their_names(tmp_path: Path) -> None:
    """A server besides the broker names itself and this machine; as a client it is known too."""
    make_certs(tmp_path, clients=["lag", "admin"], servers=["lag", "grafana"], now=NOW)

    named = {name: read((tmp_path / f"{name}.crt").read_bytes()) for name in ("lag", "grafana")}
    assert [told.names for told in named.values()] == [
        (name, "localhost", "127.0.0.1") for name in named
    ]
    assert read((tmp_path / "admin.crt").read_bytes()).names == ()
    kept = contents(tmp_path)
    make_certs(tmp_path, clients=["lag", "admin"], servers=["lag", "grafana"], now=NOW)
    assert contents(tmp_path) == kept
    with pytest.raises(ConfigError, match=r"admin\.crt .*--rotate"):
        make_certs(tmp_path, clients=[], servers=["admin"], now=NOW)


@pytest.mark.parametrize("name", ["../up", "ca", "kafka", "", "Producer", "a b"])
def test_names_of_clients_are_checked(tmp_path: Path, name: str) -> None:
    """A client's name becomes that of a file, so it can lead nowhere else."""
    with pytest.raises(ConfigError, match="--client"):
        make_certs(tmp_path / "certs", clients=[name], now=NOW)
    assert not [*tmp_path.iterdir()]


def test_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The verb writes, tells what and until when, and fails with a word on a bad folder."""
    out = str(tmp_path / "certs")
    assert main(["certs", "--out", out, "--days", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in told["certificates"]] == ["ca", "kafka", *CLIENTS]
    assert told["certificates"][1]["files"] == ["kafka.crt", "kafka.key", "kafka.pem"]

    assert main(["certs", "--out", out]) == 0
    assert "kept, in force until" in capsys.readouterr().out

    assert main(["certs", "--out", str(tmp_path / "certs/ca.crt")]) == 2
    assert "--out" in capsys.readouterr().err
