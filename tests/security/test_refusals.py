"""What must be refused is refused, and said in one line that names the cause and the cure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lanternpipe.errors import RefusedFailure
from lanternpipe.exit_codes import EXIT_CODES
from tests.security import refusals
from tests.security.broker import SecuredBroker
from tests.security.pipelines import deployed
from tests.security.refusals import Outcome

pytestmark = pytest.mark.kafka

# What each line must hold: what was seen, and what to change.
WORDS = {
    "wrong password (SCRAM)": ("invalid credentials", "PASSWORD"),
    "wrong password (PLAIN)": ("Invalid username or password", "PASSWORD"),
    "unknown user": ("invalid credentials", "USERNAME"),
    "wrong client secret": ("invalid_client", "PASSWORD"),
    "expired token": ("unexpired token", "TOKEN_URL"),
    "mechanism not offered": ("does not know SCRAM-SHA-256", "MECHANISM"),
    "unknown authority": ("unable to get local issuer certificate", "CA_FILE"),
    "expired broker certificate": ("certificate has expired", "renew it on the broker"),
    "wrong host name": ("mismatch", "SANs"),
    "no client certificate": ("asks for a client certificate", "MODE=mtls"),
    "client certificate of another authority": ("of CN=stranger", "CERT_FILE"),
    "expired client certificate": ("that ends 2026", "CERT_FILE"),
    "TLS client on a plaintext port": ("does not speak TLS", "MODE=plaintext"),
    "plaintext client on a TLS port": ("it answers in TLS", "MODE=tls"),
    "plaintext client on a SASL port": ("wants to know who we are", "MODE=scram"),
    "SASL client on a port without": ("asks nobody", "port for SASL"),
    "client without SASL on a port with it": ("wants to know who we are", "MODE=scram"),
    "may not read the input": ("may not read logins-in", "topics apply --acls"),
    "may not write the output": ("may not write logins-out", "topics apply --acls"),
    "may not write dead letters": ("may not write logins-in.dlq", "topics apply --acls"),
    "may not read in the group": ("may not read in this group", "topics apply --acls"),
    "may not use the transactional id": ("transactional id", "topics apply --acls"),
    "may not write the retries": ("may not write logins-in.retry.5s", "topics apply --acls"),
}


@pytest.fixture(name="outcomes", scope="module")
def _outcomes(
    secured: SecuredBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Outcome]]:
    with deployed(secured, "refusals-1", tmp_path_factory.mktemp("refusals")) as pipeline:
        yield refusals.outcomes(secured, pipeline)


@pytest.mark.parametrize("case", WORDS)
def test_refused_at_the_start(outcomes: dict[str, Outcome], case: str) -> None:
    """The processor ends soon with the code for refusals, and one line."""
    found = outcomes[case]
    assert found.code == dict(EXIT_CODES)[RefusedFailure], found.lines
    assert len(found.lines) == 1, found.lines
    assert found.seconds < 3 * refusals.SECONDS
    assert [word for word in WORDS[case] if word not in found.line] == []


def test_no_case_is_left_out(outcomes: dict[str, Outcome]) -> None:
    """Each case that is run is looked at."""
    assert outcomes.keys() == WORDS.keys()


def test_the_page_says_the_same(outcomes: dict[str, Outcome]) -> None:
    """docs/security.md shows the lines as they are said now."""
    table = refusals.as_table({name: each.line for name, each in outcomes.items()})
    hint = f"run python -m {refusals.__name__}"
    assert table in Path(refusals.PAGE).read_text(), hint
