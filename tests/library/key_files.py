"""Pairs of keys as files, as `streamguard library keygen` makes them."""

from pathlib import Path

from streamguard.library.ed25519 import Signer, Trust


def written(folder: Path, signer: Signer, *, name: str = "library.key") -> tuple[Path, Path]:
    """(private, public)."""
    private, public = folder / name, folder / f"{name}.pub"
    private.touch(mode=0o600)
    private.write_bytes(signer.private_pem())
    public.write_bytes(signer.public_pem())
    return private, public


def trust_in(*signers: Signer, folder: Path) -> Trust:
    """What a worker has whose file holds the public keys of all of them."""
    file = folder / "trusted.pub"
    file.write_bytes(b"".join(signer.public_pem() for signer in signers))
    return Trust.of_file(file)
