"""A certificate authority of our own, and the certificates that servers in tests show."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

_DAY = 86_400


class Certificate(NamedTuple):
    """Files in PEM."""

    cert: Path
    key: Path


def authority(directory: Path, name: str = "ca") -> Certificate:
    """Return a certificate authority."""
    return _made(directory, name, "-addext", "basicConstraints=critical,CA:TRUE")


def signed(directory: Path, by: Certificate, name: str, host: str = "localhost", days: int = 30) -> Certificate:
    """Return a certificate for a host; with ``days`` below 0 it has expired."""
    made = Certificate(directory / f"{name}.crt", directory / f"{name}.key")
    request, more = directory / f"{name}.csr", directory / f"{name}.ext"
    more.write_text(f"subjectAltName=DNS:{host}\n")
    _openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", made.key, "-out", request, "-subj", f"/CN={host}")
    _openssl(
        "x509", "-req", "-in", request, "-CA", by.cert, "-CAkey", by.key, "-CAcreateserial", "-out", made.cert,
        "-days", str(days), "-extfile", more,
    )  # fmt: skip
    return made


def for_user(made: Certificate, uid: int) -> Certificate:
    """Give the files to the user a server runs as."""
    for file in made:
        if os.geteuid() == 0:
            os.chown(file, uid, -1)
        file.chmod(0o600)
    return made


def _made(directory: Path, name: str, *more: str) -> Certificate:
    made = Certificate(directory / f"{name}.crt", directory / f"{name}.key")
    _openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", made.key, "-out", made.cert, "-days", "30",
        "-subj", f"/CN={name}", *more,
    )  # fmt: skip
    return made


def _openssl(*words: object) -> None:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
