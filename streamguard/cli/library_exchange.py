"""`streamguard library import|export`: lists of hashes, in and out."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from streamguard.cli.exits import EXIT_FOUND, EXIT_OK
from streamguard.cli.library_add import check_names, goes_on_from, warn_if_damaged
from streamguard.cli.library_items import library_option, printable
from streamguard.cli.library_signing import sign_option
from streamguard.cli.library_words import by_option, json_option, why_option
from streamguard.cli.next_steps import library_command
from streamguard.cli.redis_options import operator
from streamguard.errors import UsageError, counted
from streamguard.library.durable import NEW_PREFIX
from streamguard.library.ed25519 import Signer
from streamguard.library.exchange.exporting import Wanted, lines
from streamguard.library.exchange.importing import Asked, FileRead, Imported, import_benign, import_files
from streamguard.library.exchange.lists import ListFormat
from streamguard.library.poison import Reason
from streamguard.library.store import Library
from streamguard.regular_files import sync_directory

_FORMATS = [form.value for form in ListFormat]


@click.command("import")
@library_option
@click.option("--source", metavar="NAME", help="Whose list it is; what the library knows of it is kept by this name.")
@click.option(
    "--format", "form", type=click.Choice(["auto", *_FORMATS]), default="auto", show_default=True,
    help="How the files are written. SHA-256 hashes must be named: they look like PDQ's.",
)  # fmt: skip
@click.option("--label", help="What kind of footage it is, for [policy].  [default: the source's own, else unlabelled]")
@click.option("--replace", is_flag=True, help="It is all of the source's list: what else it had goes.")
@click.option("--benign", is_flag=True, help="It is harmless: no list may have what looks like it.")
@by_option
@why_option
@sign_option()
@json_option
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
def import_(
    *,
    path: Path,
    source: str | None,
    form: str,
    label: str | None,
    replace: bool,
    benign: bool,
    who: str | None,
    why: str,
    signer: Signer | None,
    as_json: bool,
    paths: tuple[Path, ...],
) -> int:
    """Take up lists of hashes that others share: PDQ, MD5 and SHA-256 (text, CSV, JSON), and vPDQ files of films.

    Makes the library when there is none. A malformed row is told with its line, and the others are kept. What looks
    like poison goes into quarantine: see `library quarantine list`. What comes from a new source earns reviews, until
    you say otherwise: `library exchange trust`.

    MD5 and SHA-256 lists are used by `check`, on files. Run again with the same list, nothing is there twice.

    Exit status: 0 all of it was taken up, 1 rows were malformed or went into quarantine, 2 an error.

    \b
    Examples:
      streamguard library import --library lib --source partner --label terror hashes.txt
      streamguard library import --library lib --source partner --replace hashes.csv
      streamguard library import --library lib --source police --format sha256 files.txt
      streamguard hash --json --every 5 our-own-show.mp4 > harmless.jsonl
      streamguard library import --library lib --benign harmless.jsonl
    """
    asked_form = None if form == "auto" else ListFormat(form)
    if label is not None:
        check_names(None, label)
    if benign == (source is not None):
        what = "goes without --source" if benign else "is missing"
        raise UsageError("library import", "--benign" if benign else "--source", what, hint="name whose list it is")
    Library.open(path, create=True, signer=signer).close()
    if benign:
        new, quarantined = import_benign(path, paths, form=asked_form, who=who or operator(), signer=signer)
        _tell_benign(new, quarantined, as_json=as_json)
        return EXIT_FOUND if quarantined else EXIT_OK
    asked = Asked(str(source), label, asked_form, replace=replace, who=who or operator(), why=why)
    with goes_on_from("what was written stays"), ImportBar() as bar:
        done = import_files(path, paths, asked, progress=bar.news, signer=signer)
    warn_if_damaged(path)
    _tell(done, path, as_json=as_json)
    return EXIT_FOUND if done.quarantined or any(file.bad_rows for file in done.files) else EXIT_OK


@click.command("export")
@library_option
@click.option("--format", "form", type=click.Choice(_FORMATS), default="pdq", show_default=True, help="How to write.")
@click.option("--source", metavar="NAME", help="Only what came from that source.")
@click.option("--item", metavar="ID", help="Only of that footage.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
def export(*, path: Path, form: str, source: str | None, item: str | None, file: Path | None) -> int:
    """Write the library's hashes for others, to FILE or to standard output.

    Of lists and of your own footage: PDQ, MD5 and SHA-256; `csv` has the columns of ThreatExchange's own tools, `json`
    is an object a line, `vpdq` is of one film. What is in quarantine is left out. `library import` reads them all.

    \b
    Examples:
      streamguard library export --library lib > hashes.txt
      streamguard library export --library lib --format csv --source partner partner.csv
      streamguard library export --library lib --format vpdq --item attack-2019 attack-2019.vpdq
    """
    if source is not None and item is not None:
        raise UsageError("library export", "--item", "does not go with --source", hint="leave one of them out")
    found = lines(path, Wanted(ListFormat(form), source, item))
    if file is None:
        for line in found:
            click.echo(line)
        return EXIT_OK
    try:
        _write(file, found)
    except OSError as error:
        raise UsageError("write list", file, error.strerror or str(error), hint="name another file") from error
    return EXIT_OK


def _write(file: Path, found: Iterator[str]) -> None:
    """Whole or not at all, a line at a time: a list may be large. Raises OSError."""
    beside = file.with_name(f"{NEW_PREFIX}{file.name}")
    try:
        with beside.open("w", encoding="utf-8") as written:
            written.writelines(f"{line}\n" for line in found)
            written.flush()
            os.fsync(written.fileno())
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(file.absolute().parent)


class ImportBar:
    """How far an import is: a bar where standard error is a terminal, else a line for each stage."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._plain = not console.is_terminal
        self._stage = ""
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=self._plain)
        self._task = self._progress.add_task("", total=1)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def news(self, what: str, done: int, of: int) -> None:
        if self._plain and what != self._stage:
            with suppress(OSError):
                click.echo(printable(what), err=True)
        self._stage = what
        self._progress.update(self._task, description=printable(what), completed=done, total=max(1, of))


def _tell(done: Imported, library: Path, *, as_json: bool) -> None:
    _tell_bad(done.files)
    quarantined = reasons_json(done.quarantined)
    if as_json:
        files = [
            {
                "input": str(file.path),
                "format": file.form.value,
                "hashes": file.hashes,
                "malformed": file.bad_rows,
                "first_malformed": [{"line": row.line, "problem": row.problem} for row in file.bad],
            }
            for file in done.files
        ]
        tree = {"source": done.source.name, "label": done.source.label, "may_kill": done.source.may_kill}
        counts = {"new": done.new, "known": done.known, "gone": done.gone, "films": done.films}
        click.echo(json.dumps(tree | counts | {"quarantined": quarantined, "files": files}))
        return
    for file in done.files:
        bad = f", {counted(file.bad_rows, 'malformed row')}" if file.bad_rows else ""
        click.echo(f"{printable(str(file.path))}: {counted(file.hashes, 'row')} as {file.form.value}{bad}")
    words = f"{done.source.name} [{printable(done.source.label)}]: {done.new} new, {done.known} known, {done.gone} gone"
    click.echo(words + (f"; {counted(done.films, 'film')}" if done.films else ""))
    _tell_quarantined(done.quarantined)
    if not done.source.may_kill:
        trust = library_command(library, "library exchange trust", done.source.name)
        click.echo(printable(f"what it brought earns reviews; to let it kill: {trust}"), err=True)


def _tell_benign(new: int, quarantined: dict[Reason, int], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"new": new, "quarantined": reasons_json(quarantined)}))
        return
    click.echo(f"{counted(new, 'new harmless picture')}")
    _tell_quarantined(quarantined)


def _tell_quarantined(quarantined: dict[Reason, int]) -> None:
    for reason, count in quarantined.items():
        click.echo(f"  {count} in quarantine: {reason.words}")


def _tell_bad(files: tuple[FileRead, ...]) -> None:
    for file in files:
        for row in file.bad:
            click.echo(printable(f"malformed: {file.path}:{row.line}: {row.problem}"), err=True)
        if file.bad_rows > len(file.bad):
            click.echo(printable(f"malformed: {file.path}: {file.bad_rows - len(file.bad)} more rows"), err=True)


def reasons_json(quarantined: dict[Reason, int]) -> dict[str, int]:
    return {reason.name.lower(): count for reason, count in quarantined.items()}
