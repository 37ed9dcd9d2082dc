"""Whether a path lies on a file system that other hosts write too.

The kernel's list of mounts says the same as ``statfs(2)``, and needs no ``ctypes``, which takes longer to import
than the rest of this store.
"""

from __future__ import annotations

import os
import sys

_NETWORK = frozenset(
    "nfs nfs4 cifs smb smb2 smb3 smbfs 9p ceph ncpfs afs coda gfs2 ocfs2 lustre gpfs beegfs pvfs2 orangefs glusterfs "
    "virtiofs vboxsf vmhgfs prl_fs davfs acfs".split()
)
_MOUNTS = "/proc/self/mountinfo"


def network_file_system(path: str) -> str | None:
    """Return the name of the network file system ``path`` lies on, or None. Only Linux can tell."""
    kind = file_system_type(path)
    # FUSE may be anything, most often sshfs or an object store; fuseblk is a local disk.
    remote = kind is not None and (kind in _NETWORK or kind == "fuse" or kind.startswith("fuse."))
    return kind if remote else None


def file_system_type(path: str) -> str | None:
    """Return the type of the file system as mount(8) names it; None where it cannot be told."""
    if sys.platform != "linux":
        return None
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.readlines()
    except OSError:
        return None
    return next((_type_of(line) for line in lines if line.split(" ", 3)[2] == wanted), None)


def _type_of(line: str) -> str:
    """Return the type in a line of mountinfo: the first word after the separator of its optional fields."""
    return line.partition(" - ")[2].split(" ", 1)[0]
