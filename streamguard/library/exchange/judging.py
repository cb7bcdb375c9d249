"""Footage that senders brought, tried again when the harmless pictures change: as their lists' hashes are."""

from collections import Counter
from dataclasses import replace
from functools import lru_cache

from streamguard.library import brought
from streamguard.library.brought import Brought
from streamguard.library.catalogue import ItemState
from streamguard.library.changes import Origin
from streamguard.library.exchange.book import Book, Source
from streamguard.library.exchange.schema import HashState
from streamguard.library.exchange.taking import known_of
from streamguard.library.kept_references import kept_references
from streamguard.library.poison import Known, Reason
from streamguard.library.store import Library
from streamguard.library.trial import tried


def judge_brought(book: Book, library: Library, *, origin: Origin) -> dict[Reason, int]:
    """What is searched, and was neither released nor believed, against what is known by now: how much went into
    quarantine. Each by itself: what it came with was judged when it came. Raises LibraryError.
    """
    sources = {source.name: source for source in book.sources()}

    @lru_cache
    def known_to(source: Source, label: str) -> Known:
        return known_of(book, replace(source, label=label))

    with library.writing() as catalogue:
        searched = {
            one.item.number: one
            for one in brought.brought(catalogue)
            if one.source in sources and _may_be_judged(one, sources[one.source])
        }
    bad: list[tuple[Brought, Reason]] = []
    for item, reference in kept_references(library.path, [one.item for one in searched.values()], pictures=False):
        one = searched[item.number]
        (found,) = tried([reference], known_to(sources[one.source], item.label), of_others=True)
        if found.reason is not Reason.NONE:
            bad.append((one, found.reason))
    brought.keep_apart(library, bad, origin=origin, now_unix_s=book.now_unix_s())
    return dict(Counter(reason for _, reason in bad))


def _may_be_judged(one: Brought, source: Source) -> bool:
    """What may kill though its sender may not was believed."""
    is_settled = one.reason is not Reason.NONE or (one.may_kill and not source.may_kill)
    return one.state is HashState.LIVE and one.item.state is ItemState.LIVE and not is_settled
