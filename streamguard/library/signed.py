"""Signing a library as it is: one that was made without a key, with another one, or was copied in."""

from dataclasses import dataclass
from pathlib import Path

from streamguard.errors import LibraryError, LibraryUntrusted
from streamguard.library.durable import LOCK_WAIT_S, library_error, writer_lock
from streamguard.library.ed25519 import Signer, Trust
from streamguard.library.incidents import read_incidents, replace_incidents
from streamguard.library.live_check import check_live
from streamguard.library.live_set import CURRENT, LiveSet, publish, read_live_set
from streamguard.library.rule_file import read_rules, replace_rules


@dataclass(frozen=True, slots=True)
class Signed:
    """What was signed: a version, and the name of the rule that goes with it, if any."""

    live: LiveSet
    rule: str | None


def sign_library(library: Path, signer: Signer) -> Signed:
    """Every checksum and every canary is asked first: what is damaged is never signed. Nobody can check whether what is
    in it is right; whoever signs says so.

    Raises LibraryMissing, LibraryFormatError, LibraryDamaged, LibraryLocked, LibraryError; then the old one stays.
    """
    with writer_lock(library, wait_s=LOCK_WAIT_S):
        check_live(library)
        live = read_live_set(library)
        rules = read_rules(library)
        if rules is not None:
            replace_rules(library, rules, signer=signer)
        if incidents := read_incidents(library):
            replace_incidents(library, incidents, signer=signer)
        try:
            publish(library, live, signer=signer)
        except OSError as error:
            raise library_error("sign library", library / CURRENT, error) from error
    return Signed(live, None if rules is None else rules.rule.name)


def untrusted(library: Path, trust: Trust) -> tuple[LibraryUntrusted, ...]:
    """What of it none of the keys signed. What cannot be read at all is for `inspection` to tell."""
    found = []
    for check in (_live_set_is_signed, _rule_is_signed, _incidents_are_signed):
        try:
            check(library, trust)
        except LibraryUntrusted as error:
            found.append(error)
        except LibraryError:
            continue
    return tuple(found)


def _live_set_is_signed(library: Path, trust: Trust) -> None:
    read_live_set(library, trust=trust)


def _rule_is_signed(library: Path, trust: Trust) -> None:
    read_rules(library, trust=trust)


def _incidents_are_signed(library: Path, trust: Trust) -> None:
    read_incidents(library, trust=trust)
