"""What `check` says of files that a shared list names by their MD5 or SHA-256."""

from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from streamguard.core.policy import Policy
from streamguard.errors import UsageError
from streamguard.ingest.urls import SourceKind, file_path, source_kind
from streamguard.library.exchange.known_files import FileLists, KnownFile
from streamguard.types import Verdict


def listed_files(inputs: Sequence[str], library: Path, policy: Policy) -> dict[int, list[dict[str, object]]]:
    """By the number of the input what the lists say of it; nothing of live streams, and of what cannot be read: that
    is told where it is watched. Raises LibraryError.
    """
    found: dict[int, list[dict[str, object]]] = {}
    with closing(FileLists(library)) as lists:
        for number, given in enumerate(inputs):
            with suppress(UsageError):
                is_file = "://" not in given or source_kind(given) is SourceKind.FILE
                if is_file and (known := lists.known(Path(file_path(given)))):
                    found[number] = [_tree(one, policy) for one in known]
    return found


def verdict_of(listed: Sequence[dict[str, object]]) -> Verdict:
    """The strongest."""
    verdicts = (Verdict(str(one["verdict"])) for one in listed)
    return max(verdicts, key=lambda verdict: verdict.severity, default=Verdict.CLEAR)


def sentence(one: dict[str, object]) -> str:
    return (
        f"  {one['verdict']}: the file itself is in the list of {one['source']} [{one['label']}], by its {one['kind']}"
    )


def _tree(known: KnownFile, policy: Policy) -> dict[str, object]:
    allowed = policy.of(known.label).verdict
    verdict = allowed if known.may_kill else min(allowed, Verdict.REVIEW, key=lambda one: one.severity)
    return {
        "verdict": verdict.value,
        "source": known.source,
        "label": known.label,
        "kind": known.kind.word,
        "hash": known.code.hex(),
    }
