"""Knocks at a broker's port by hand, to learn what the client does not tell.

Of a wrong host name, an expired certificate or a port that speaks something else the client says
little more than that a connection failed. Here the handshake is made once more with Python's own
``ssl``, followed by Kafka's ``SaslHandshake``, the one request that is answered by listeners with
SASL, and answered otherwise by those without (https://kafka.apache.org/protocol).
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from lanternpipe.certificates import read
from lanternpipe.settings import SecuritySettings

Stage: TypeAlias = Literal["resolve", "connect", "tls", "kafka", "sasl"]

SASL_HANDSHAKE, VERSION = 17, 1
UNSUPPORTED_MECHANISM, NO_SASL_HERE = 33, 34
LONGEST_ANSWER = 65_536
TLS_ALERT = b"\x15\x03"
# Alerts about what we have shown, or have not.
ABOUT_OURS = ("certificate", "unknown ca", "handshake failure", "access denied")
NO_MECHANISM = "NONE"  # asked for by those who would use none, to learn what there is


class Seen(NamedTuple):
    """What came of knocking at one address.

    Attributes:
        address: ``host:port``.
        stage: How far it came; where ``problem`` is None, that was all.
        problem: What went wrong there; None where nothing did.
        cure: What to do about it.
        certificate: The broker's, as ``ssl`` decodes it, once its chain has been verified.
        mechanisms: The SASL mechanisms of the listener; None where it has none or did not tell.
    """

    address: str
    stage: Stage
    problem: str | None = None
    cure: str = ""
    certificate: Mapping[str, Any] | None = None
    mechanisms: tuple[str, ...] | None = None

    @property
    def ends(self) -> float | None:
        """When the broker's certificate ends, in seconds since 1970; None without encryption."""
        if not self.certificate:
            return None
        return float(ssl.cert_time_to_seconds(self.certificate["notAfter"]))

    @property
    def refused(self) -> bool:
        """Whether somebody is there who does not take us, or whom we do not take."""
        return self.problem is not None and self.stage in {"tls", "kafka", "sasl"}


class _FailedError(Exception):
    def __init__(self, stage: Stage, problem: str, cure: str) -> None:
        super().__init__(problem)
        self.stage, self.problem, self.cure = stage, problem, cure


def knock(address: str, security: SecuritySettings, timeout: float) -> Seen:
    """Try what a client does before it asks anything, up to the choice of a SASL mechanism.

    Args:
        address: ``host:port``.
        security: What the client would use.
        timeout: Seconds for each step.
    """
    certificate: Mapping[str, Any] | None = None
    try:
        with _connected(address, timeout) as plain:
            if security.protocol.endswith("PLAINTEXT"):
                mechanisms = _asked(plain, address, security)
            else:
                with _encrypted(plain, address, security) as line:
                    certificate = line.getpeercert()
                    mechanisms = _asked(line, address, security)
    except _FailedError as failed:
        return Seen(address, failed.stage, failed.problem, failed.cure, certificate)
    except (OSError, ValueError) as error:  # of a name that is none, or files being replaced
        cure = "are the files of PIPELINE_KAFKA__SECURITY__… whole?"
        return Seen(address, "connect", f"{address} could not be tried ({error})", cure)
    return Seen(address, "sasl", certificate=certificate, mechanisms=mechanisms)


def host_and_port(address: str) -> tuple[str, int]:
    """Split an address; Kafka's port where it names none."""
    address = address.rpartition("//")[2]  # the client takes SSL://host:port as well
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return address.strip("[]"), 9092
    return host.strip("[]"), int(port)


@contextmanager
def _connected(address: str, timeout: float) -> Iterator[socket.socket]:
    host, port = host_and_port(address)
    where = "PIPELINE_KAFKA__BOOTSTRAP_SERVERS"
    try:
        line = socket.create_connection((host, port), timeout)
    except socket.gaierror as error:
        raise _FailedError(
            "resolve", f"{host} has no address ({error.strerror})", f"is the name in {where} right?"
        ) from None
    except OSError as error:
        text = "no answer" if isinstance(error, TimeoutError) else (error.strerror or str(error))
        raise _FailedError(
            "connect", f"nobody can be reached at {address} ({text})", f"is {where} right?"
        ) from None
    with line:
        yield line


@contextmanager
def _encrypted(
    line: socket.socket, address: str, security: SecuritySettings
) -> Iterator[ssl.SSLSocket]:
    host, _ = host_and_port(address)
    context = ssl.create_default_context(cafile=security.ca_file)
    context.check_hostname = security.verify_hostname
    # Python 3.13 asks more of certificates than the client does, which we look for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if security.cert_file:
        # A passphrase would be asked for at the terminal.
        context.load_cert_chain(security.cert_file, security.key_file, password="")
    try:
        encrypted = context.wrap_socket(line, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise _unverified(address, error, security) from None
    except OSError as error:
        raise _broken(address, error, security, line.gettimeout() or 0.0) from None
    with encrypted:
        yield encrypted


def _unverified(
    address: str, error: ssl.SSLCertVerificationError, security: SecuritySettings
) -> _FailedError:
    text = error.verify_message.rstrip(".")
    problem = f"the certificate of {address} is not accepted: {text}"
    if "expired" in text or "not yet valid" in text:
        return _FailedError("tls", problem, "renew it on the broker, and compare the clocks")
    if "ismatch" in text:
        return _FailedError(
            "tls", problem, "connect to a name that it was made for, or add this one to its SANs"
        )
    trusted = security.ca_file or "the authorities of this system"
    return _FailedError(
        "tls",
        problem,
        f"PIPELINE_KAFKA__SECURITY__CA_FILE must hold the authority that signed it (now {trusted})",
    )


def _silent(address: str, error: Exception) -> _FailedError:
    """Return what proves nothing: a broker that is frozen, or on its way up or down."""
    text = "no answer" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return _FailedError("connect", f"{address} takes connections and says nothing ({text})", "wait")


def _broken(
    address: str, error: OSError, security: SecuritySettings, timeout: float
) -> _FailedError:
    reason = (getattr(error, "reason", None) or error.strerror or type(error).__name__).lower()
    if "alert" in reason:
        told = reason.replace("_", " ")
        if any(word in told for word in ABOUT_OURS):
            return _ours_refused(address, told, security)
        cure = "compare the versions of TLS on both sides"
        return _FailedError("connect", f"{address} ends the TLS handshake ({told})", cure)
    if isinstance(error, TimeoutError) or not _speaks_openly(address, timeout):
        return _silent(address, error)
    return _FailedError(
        "tls",
        f"{address} does not speak TLS ({reason.replace('_', ' ')})",
        "choose the broker's port for TLS, or PIPELINE_KAFKA__SECURITY__MODE=plaintext",
    )


def _ours_refused(address: str, told: str, security: SecuritySettings) -> _FailedError:
    """Return what an alert of the broker means: what it does not like comes from us."""
    if security.cert_file is None:
        return _FailedError(
            "tls",
            f"{address} asks for a client certificate ({told})",
            "choose PIPELINE_KAFKA__SECURITY__MODE=mtls with CERT_FILE and KEY_FILE",
        )
    ours = read(security.cert_file.read_bytes())
    ends = datetime.fromtimestamp(ours.ends, UTC).isoformat(timespec="seconds")
    return _FailedError(
        "tls",
        f"{address} does not accept our certificate of {ours.issuer} that ends {ends} ({told})",
        "PIPELINE_KAFKA__SECURITY__CERT_FILE must be in force and of an authority that the broker "
        "trusts",
    )


def _asked(line: socket.socket, address: str, security: SecuritySettings) -> tuple[str, ...] | None:
    """Ask for our SASL mechanism, or for one that nobody has; return which there are."""
    wanted = security.sasl_mechanism
    try:
        line.sendall(_request(wanted or NO_MECHANISM))
        code, mechanisms = _answer(line)
    except ssl.SSLError as error:
        raise _broken(address, error, security, line.gettimeout() or 0.0) from None
    except (OSError, EOFError) as error:
        raise _silent(address, error) from None
    except (ValueError, struct.error) as error:
        raise _no_kafka(address, error, security) from None
    has_sasl = code != NO_SASL_HERE
    if wanted and not has_sasl:
        mode = "plaintext" if not security.tls else "tls or mtls"
        raise _FailedError(
            "sasl",
            f"{address} asks nobody for a password or token",
            f"choose the broker's port for SASL, or PIPELINE_KAFKA__SECURITY__MODE={mode}",
        )
    if wanted and code == UNSUPPORTED_MECHANISM:
        raise _FailedError(
            "sasl",
            f"{address} does not know {wanted}, but {', '.join(mechanisms) or 'none at all'}",
            "choose one of these by PIPELINE_KAFKA__SECURITY__MODE and __MECHANISM",
        )
    if not wanted and has_sasl:
        raise _FailedError(
            "sasl",
            f"{address} wants to know who we are ({', '.join(mechanisms)})",
            "choose PIPELINE_KAFKA__SECURITY__MODE=scram, plain or oauthbearer",
        )
    return mechanisms if has_sasl else None


def _no_kafka(address: str, error: Exception, security: SecuritySettings) -> _FailedError:
    text = str(error) or type(error).__name__
    if security.protocol.endswith("PLAINTEXT"):
        return _FailedError(
            "kafka",
            f"{address} does not speak unencrypted Kafka ({text})",
            "where it is the broker's port for TLS, choose PIPELINE_KAFKA__SECURITY__MODE=tls, "
            "mtls, scram, plain or oauthbearer",
        )
    return _FailedError("kafka", f"{address} does not speak Kafka ({text})", "is the port right?")


def _speaks_openly(address: str, timeout: float) -> bool:
    """Say whether this port is one for Kafka without encryption."""
    try:
        with _connected(address, timeout) as line:
            line.sendall(_request(NO_MECHANISM))
            _answer(line)
    except (_FailedError, OSError, EOFError, ValueError, struct.error):
        return False
    return True


def _request(mechanism: str) -> bytes:
    client, name = b"lanternpipe", mechanism.encode()
    header = struct.pack(f">hhih{len(client)}s", SASL_HANDSHAKE, VERSION, 1, len(client), client)
    body = struct.pack(f">h{len(name)}s", len(name), name)
    return struct.pack(">i", len(header + body)) + header + body


def _answer(line: socket.socket) -> tuple[int, tuple[str, ...]]:
    start = _read(line, 4)
    if start.startswith(TLS_ALERT):
        raise ValueError("it answers in TLS")
    (size,) = struct.unpack(">i", start)
    if not 10 <= size <= LONGEST_ANSWER:
        raise ValueError("its answer is not Kafka's")
    body = _read(line, size)
    _, code, count = struct.unpack_from(">ihi", body)
    at, names = 10, []
    for _ in range(count):
        (length,) = struct.unpack_from(">h", body, at)
        names.append(body[at + 2 : at + 2 + length].decode())
        at += 2 + length
    return code, tuple(names)


def _read(line: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = line.recv(size - len(found))
        if not more:
            raise EOFError("it hung up")
        found += more
    return found
