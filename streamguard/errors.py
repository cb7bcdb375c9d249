"""Every error that StreamGuard raises, by what the caller must do.

StreamGuardError                 shown to the operator as it is: operation, object, next step
|-- UsageError                   fix the call: a bad option, a missing file, a broken config
|   `-- ConfigError              an unknown key or a bad value, with its full path
|-- LibraryError                 fix the library; the last good one keeps serving
|   |-- LibraryMissing           there is none at that path
|   |-- LibraryFormatError       made by another StreamGuard, newer or older
|   |-- LibraryDamaged           a checksum or the canary failed
|   |-- LibraryCrashes           whoever opened it first, a process that may crash, crashed or hung
|   |-- LibraryUntrusted         not signed by a key of the operator's, or older than what serves
|   `-- LibraryLocked            another process is writing
|-- SourceError                  one connection to a stream ended badly
|   |-- SourceUnavailable        try again: refused, unreachable, not live yet, timed out
|   |-- SourceStalled            try again: connected, but nothing new came
|   |-- SourceNotInParts         read all of it: the server knows no parts, or what it has changed meanwhile
|   |-- SourceRefused            trying again will not help soon: no such application, no permission, forbidden address
|   `-- SourceUnwatchable        connected, but there is nothing that can be decoded: the stream is blind
|       `-- SourceExcessive      it asks for more than a stream honestly does
|-- FingerprintError             the input cannot be fingerprinted (wrong shape or type)
|-- OutboxError                  page someone: decisions cannot be made durable
|   `-- OutboxBusy               try again: somebody else has it; its disk answers
|-- EvidenceError                fix the file or its directory: it cannot be kept or read; nothing else hangs on it
|-- ExchangeError                an exchange of hashes did not do as asked; what was fetched before stays
|   |-- ExchangeUnreachable      try again: no answer in time, refused, out of order
|   |-- ExchangeRefused          fix it: no credentials, wrong ones, no permission
|   `-- ExchangeNotUnderstood    what it answered is not what such an exchange says; its checkpoint stays
|-- ServerError                  a media server did not do as asked
|   |-- ServerUnreachable        try again: no answer in time, refused, failing over
|   |-- ServerRefused            fix it: wrong password, no permission, no such interface
|   `-- ServerNotUnderstood      what it answered is not what such a server says: never a success
`-- SignalsError                 kill-signals cannot be delivered or read now; the outbox keeps them
    |-- SignalsUnreachable       try again: connection refused, timed out, failing over
    |-- SignalsRejected          fix it: wrong password, no permission, wrong type of key
    |   `-- SignalRefused        one kill-signal cannot be delivered; others may pass
    `-- SignalNotUnderstood      skip it: what was received is no kill-signal
"""

from functools import partial


def one_line(text: str) -> str:
    """Without what drives a terminal or forges another line: names of files and words of servers may be hostile."""
    return "".join(character if character.isprintable() else "?" for character in text)


def counted(number: int, what: str) -> str:
    """`1 stream`, `2 streams`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


class StreamGuardError(Exception):
    """`StreamGuardError("open stream", "cam-7", "no answer in 10 s", hint="is the ingest server up?")`

    Reads as `open stream cam-7: no answer in 10 s; is the ingest server up?`: one line, whatever names are in it. None
    of the parts may hold credentials.
    """

    def __init__(self, operation: str, subject: object = "", problem: str = "", *, hint: str = "") -> None:
        self.operation = operation
        self.subject = str(subject)
        self.problem = problem
        self.hint = hint
        super().__init__(operation, self.subject, problem, hint)

    def __str__(self) -> str:
        head = f"{self.operation} {self.subject}".strip()
        text = f"{head}: {self.problem}" if self.problem else head
        if self.hint:
            text += f" {self.hint}" if text.endswith("?") else f"; {self.hint}"
        return one_line(text)

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), hint=self.hint), (self.operation, self.subject, self.problem)


class UsageError(StreamGuardError):
    """The operator's call is wrong."""


class ConfigError(UsageError):
    """The configuration is wrong; the subject is the full path of the key."""


class LibraryError(StreamGuardError):
    """The library of known footage cannot be used as asked."""


class LibraryMissing(LibraryError):
    """There is no library at that path."""


class LibraryFormatError(LibraryError):
    """It was made by another StreamGuard, newer or older."""


class LibraryDamaged(LibraryError):
    """A checksum or the canary query failed."""


class LibraryCrashes(LibraryError):
    """Opening it ended or stopped the process that tried it first."""


class LibraryUntrusted(LibraryError):
    """No key of the operator's signed it, or it is older than what serves."""


class LibraryLocked(LibraryError):
    """Another process is writing to the library."""


class SourceError(StreamGuardError):
    """One connection to a stream ended badly."""


class SourceUnavailable(SourceError):
    """Worth trying again: refused, unreachable, not live, timed out."""


class SourceStalled(SourceError):
    """Connected, but nothing new came in time."""


class SourceNotInParts(SourceError):
    """It cannot be had in parts; all of it may."""


class SourceRefused(SourceError):
    """The server or our own guard said no."""


class SourceUnwatchable(SourceError):
    """Connected, but nothing can be decoded. The stream is blind, never clear."""


class SourceExcessive(SourceUnwatchable):
    """It asks for more than a stream honestly does, at others' cost."""


class FingerprintError(StreamGuardError):
    """The input cannot be fingerprinted."""


class OutboxError(StreamGuardError):
    """Decisions cannot be made durable."""


class OutboxBusy(OutboxError):
    """Another process or other threads have it; no disk hangs."""


class EvidenceError(StreamGuardError):
    """An evidence file cannot be kept, or is none."""


class ExchangeError(StreamGuardError):
    """An exchange of hashes did not do as asked."""


class ExchangeUnreachable(ExchangeError):
    """Worth trying again."""


class ExchangeRefused(ExchangeError):
    """It said no to us, or we have nothing to show to it."""


class ExchangeNotUnderstood(ExchangeError):
    """Its answer is not one that such an exchange gives."""


class ServerError(StreamGuardError):
    """A media server did not do as asked."""


class ServerUnreachable(ServerError):
    """Worth trying again."""


class ServerRefused(ServerError):
    """It answered, and said no: to us, not to the request alone."""


class ServerNotUnderstood(ServerError):
    """Its answer is not one that such a server gives."""


class SignalsError(StreamGuardError):
    """Kill-signals cannot be delivered or read now."""


class SignalsUnreachable(SignalsError):
    """Worth trying again."""


class SignalsRejected(SignalsError):
    """Redis answered, and said no."""


class SignalRefused(SignalsRejected):
    """One kill-signal cannot be delivered, though others may pass."""


class SignalNotUnderstood(SignalsError):
    """What was received is no kill-signal."""
