"""`streamguard library keygen` and `sign`, and the option that makes a writing command sign."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from streamguard.cli.exits import EXIT_OK
from streamguard.cli.library_items import library_option, printable
from streamguard.cli.library_notes import note_done
from streamguard.errors import UsageError, counted
from streamguard.library import changes
from streamguard.library.durable import write_synced
from streamguard.library.ed25519 import Signer
from streamguard.library.signed import sign_library
from streamguard.regular_files import sync_directory

_Command = TypeVar("_Command", bound=Callable[..., Any])

_PUBLIC_SUFFIX = ".pub"


def _signer(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Signer | None:
    return None if value is None else Signer.of_file(value)


def sign_option(*, required: bool = False, signs: str = "what workers take up") -> Callable[[_Command], _Command]:
    """Gives the command a `signer`; `signs`: of what, for its help."""
    return click.option(
        "--sign-key", "signer", metavar="FILE", type=click.Path(path_type=Path), callback=_signer, required=required,
        envvar="STREAMGUARD_SIGN_KEY", show_envvar=True, help=f"The private key that signs {signs}.",
    )  # fmt: skip


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("file", type=click.Path(path_type=Path))
def keygen(*, as_json: bool, file: Path) -> int:
    """Make a pair of keys for signing libraries: FILE, the private one, and FILE.pub, for workers.

    The private key has no password: it is for who may change the library, and nobody else may read it. Files that are
    there are never written over.

    \b
    Example:
      streamguard library keygen library.key
      streamguard library add --library known --sign-key library.key attack.mp4
      streamguard watch --library known --library-key library.key.pub rtmp://127.0.0.1/live/cam-7
    """
    public = Path(f"{file}{_PUBLIC_SUFFIX}")
    for path in (file, public):
        if os.path.lexists(path):
            raise UsageError("make key", path, "there is a file already", hint="name another one")
    signer = Signer.new()
    try:
        _write_new(file, signer.private_pem(), mode=0o600)
        _write_new(public, signer.public_pem(), mode=0o644)
        sync_directory(file.absolute().parent)
    except OSError as error:
        problem = error.strerror or str(error)
        raise UsageError("make key", error.filename or file, problem, hint="check the path") from error
    if as_json:
        click.echo(json.dumps({"key": signer.key, "private": str(file), "public": str(public)}))
    else:
        click.echo(f"key {signer.key}")
        click.echo(printable(f"{file} signs: keep it where the library is made, and a copy elsewhere"))
        click.echo(printable(f"{public} is for workers: library.public_key_file, or --library-key"))
    return EXIT_OK


def _write_new(path: Path, data: bytes, *, mode: int) -> None:
    """Never over another file, and never for a moment readable to more than it may be. Raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    write_synced(path, data)


@click.command()
@library_option
@sign_option(required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sign(*, path: Path, signer: Signer, as_json: bool) -> int:
    """Sign a library as it is, with its rule: one from before there was a key, of another key, or that was copied in.

    Every checksum is compared and every canary asked first; what is damaged is not signed. Whether what is in it is
    right, nobody can check: sign what you made, or had from somebody whom you would let decide what is killed.

    \b
    Example:
      streamguard library sign --library known --sign-key library.key
    """
    signed = sign_library(path, signer)
    note_done(path, "sign", f"{signed.live.version} with key {signer.key}", origin=changes.origin())
    if as_json:
        tree = {"version": signed.live.version, "key": signer.key, "rule": signed.rule}
        click.echo(json.dumps(tree | {"segments": len(signed.live.segments)}))
    else:
        rule = "" if signed.rule is None else f", and the rule {signed.rule}"
        segments = counted(len(signed.live.segments), "segment")
        click.echo(f"signed version {signed.live.version} ({segments}){rule} with key {signer.key}")
    return EXIT_OK
