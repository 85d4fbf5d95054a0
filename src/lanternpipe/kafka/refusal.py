"""What the client says when it is refused, in one line that names the cause and the cure. Pure."""

from __future__ import annotations

import re

from confluent_kafka import KafkaError

E = KafkaError
SECURITY = "PIPELINE_KAFKA__SECURITY__"
GRANT = "grant it with `lanternpipe topics apply --acls`"

# What the client adds for those who debug it.
NOISE = re.compile(r" ?\(after \d+ms in state [^)]*\)")
PLACE = re.compile(r"^\w+://([^/]*)/\w+: ")

CURES: dict[int, str] = {
    E.TOPIC_AUTHORIZATION_FAILED: f"the user may not do this with the topic: {GRANT}",
    E.GROUP_AUTHORIZATION_FAILED: f"the user may not read in this group: {GRANT}",
    E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: f"the user may not use this transactional id: {GRANT}",
    E.CLUSTER_AUTHORIZATION_FAILED: f"the user may not do this on the cluster: {GRANT}",
}

# By a part of the text; the first that is found counts.
HINTS: dict[str, str] = {
    "certificate verify failed": f"{SECURITY}CA_FILE must hold the authority that signed the "
    "broker's certificate, which must name this host and be in force; `lanternpipe doctor` tells "
    "which it is",
    "alert certificate required": "the broker asks for a client certificate: choose "
    f"{SECURITY}MODE=mtls with CERT_FILE and KEY_FILE",
    "alert": f"the broker does not accept our certificate: {SECURITY}CERT_FILE must be in force "
    "and of an authority that the broker trusts",
    "mechanism handshake failed": "choose one that the broker has, by "
    f"{SECURITY}MODE and MECHANISM",
    "invalid": f"{SECURITY}USERNAME and PASSWORD or PASSWORD_FILE must be those of a user whom "
    "the broker knows",
}
TOKEN = (
    f"{SECURITY}TOKEN_URL, USERNAME and PASSWORD or PASSWORD_FILE must be such that the tokens are "
    "good for this broker"
)


def explained(error: KafkaError) -> str:
    """Return a line for people: where, what, and what to do."""
    text = PLACE.sub(r"\1: ", NOISE.sub("", error.str()))
    return f"{text}; {cure_of(error.code(), text)}"


def cure_of(code: int, text: str) -> str:
    """Return what to do about a refusal."""
    if cure := CURES.get(code):
        return cure
    lower = text.lower()
    if "oauthbearer token" in lower:
        return TOKEN
    for part, hint in HINTS.items():
        if part in lower:
            return hint
    return "`lanternpipe doctor` looks closer"
