"""What the exchanges' clients have in common: their errors in our words, and never a credential in them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TypeVar
from xml.etree.ElementTree import ParseError

import dacite
import requests
from threatexchange.exchanges.auth import (
    CredentialHelper,
    SignalExchangeAPIInvalidAuthException,
    SignalExchangeAPIMissingAuthException,
)

from streamguard.errors import ExchangeNotUnderstood, ExchangeRefused, ExchangeUnreachable
from streamguard.library.exchange.hashes import ListedHash, Remarks
from streamguard.library.exchange.words import KINDS, code_of

_Page = TypeVar("_Page")

MOST_PAGES = 100_000
"""Of one fetch: an exchange that always has one more page is none."""

MOST_ANSWER_BYTES = 16 << 20
"""Of one page, as it is after unpacking; real ones have a few thousand records of some hundred bytes. Empty lists and
elements take up to 28 times as much memory as bytes once they are read.
"""

_PIECE_BYTES = 1 << 16

_UNREADABLE = (
    *(ValueError, KeyError, TypeError, IndexError, AttributeError, AssertionError),
    *(ParseError, dacite.DaciteError),
)
"""What the package raises at answers that are none."""

_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)


class _TooLong(requests.RequestException):  # type: ignore[misc]  # the package is not read for types
    """An answer of more than MOST_ANSWER_BYTES."""


def bounded(session: requests.Session) -> requests.Session:
    """It, reading no more of an answer than MOST_ANSWER_BYTES, which `ours` tells; the package's clients read all that
    comes.
    """
    session.hooks["response"].append(_read)
    return session


def _read(response: requests.Response, *_: object, **__: object) -> None:
    """Before anybody asks for it: `requests` keeps what was read."""
    pieces, size_bytes = [], 0
    for piece in response.iter_content(_PIECE_BYTES):
        size_bytes += len(piece)
        if size_bytes > MOST_ANSWER_BYTES:
            response.close()
            raise _TooLong
        pieces.append(piece)
    response._content = b"".join(pieces)  # noqa: SLF001 - `requests` has no other way to bound an answer


@contextmanager
def ours(operation: str, exchange: str, *, credentials: type[CredentialHelper] | None = None) -> Iterator[None]:
    """Their errors as ours. What they say may hold a token or a whole answer, so only what kind they are is told."""
    with _quiet():
        try:
            yield
        except (SignalExchangeAPIMissingAuthException, SignalExchangeAPIInvalidAuthException) as error:
            name = "" if credentials is None else credentials.ENV_VARIABLE
            is_missing = isinstance(error, SignalExchangeAPIMissingAuthException)
            problem = "no credentials" if is_missing else "its credentials are not as they should be"
            raise ExchangeRefused(operation, exchange, problem, hint=f"set the environment variable {name}") from None
        except requests.HTTPError as error:
            raise _of_status(operation, exchange, error) from None
        except requests.JSONDecodeError:
            raise _not_understood(operation, exchange) from None
        except _TooLong:
            problem = f"its answer is longer than {MOST_ANSWER_BYTES >> 20} MiB"
            raise ExchangeNotUnderstood(operation, exchange, problem, hint="is it that exchange?") from None
        except requests.RequestException as error:
            problem = f"no answer ({type(error).__name__})"
            raise ExchangeUnreachable(operation, exchange, problem, hint="is it reachable from here?") from None
        except (
            dacite.DaciteError,
            ParseError,
            ValueError,
            KeyError,
            TypeError,
            IndexError,
            AttributeError,
            AssertionError,
        ):
            raise _not_understood(operation, exchange) from None
        except Exception as error:
            if type(error) is not Exception:  # as the package raises where it cannot read an answer
                raise
            raise _not_understood(operation, exchange) from None


def pages(found: Iterator[_Page], exchange: str) -> Iterator[_Page]:
    """All of an exchange's answers; their errors as ours. Raises ExchangeNotUnderstood for more than MOST_PAGES: what
    came until then is not all there is.
    """
    for _ in range(MOST_PAGES):
        with ours("fetch", exchange):
            page = next(found, None)
        if page is None:
            return
        yield page
    problem = f"over {MOST_PAGES} pages, and no end"
    raise ExchangeNotUnderstood("fetch", exchange, problem, hint="what came before is kept; tell whoever runs it")


def listed(type_word: str, text: str, remarks: Remarks) -> ListedHash:
    """A hash of theirs. Raises ValueError for one that is none, or of a kind that is not used here."""
    kind = KINDS.get(type_word.lower())
    if kind is None:
        raise ValueError(type_word)
    return ListedHash(kind, code_of(text, kind), remarks=remarks)


def _of_status(operation: str, exchange: str, error: requests.HTTPError) -> ExchangeRefused | ExchangeUnreachable:
    status = 0 if error.response is None else error.response.status_code
    problem = f"it answered {status}"
    if status in _REFUSALS:
        return ExchangeRefused(operation, exchange, problem, hint="are the credentials right, and for this exchange?")
    return ExchangeUnreachable(operation, exchange, problem, hint="try again later")


def _not_understood(operation: str, exchange: str) -> ExchangeNotUnderstood:
    hint = "what was fetched before stays; see whether `threatexchange` has a newer version"
    return ExchangeNotUnderstood(operation, exchange, "its answer is not what it should be", hint=hint)


@contextmanager
def _quiet() -> Iterator[None]:
    """The package logs whole answers, and what went wrong a second time."""
    root = logging.getLogger()
    nobody = logging.NullHandler()
    root.addHandler(nobody)
    was_disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(was_disabled)
        root.removeHandler(nobody)
