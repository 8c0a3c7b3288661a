"""Results as one file to download."""

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from utils.jobs.naming import printable

_DATE = (1980, 1, 1, 0, 0, 0)  # the same files make the same archive


def pack(members: Mapping[str, Path], archive: Path) -> None:
    """Write a ZIP archive of the files under these names, in the order of the names, piece by piece; pictures are not compressed a second time."""
    part = archive.with_name(f"{archive.name}.part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as packed:
        for name, path in sorted(members.items()):
            member = zipfile.ZipInfo(printable(name), _DATE)
            member.external_attr = 0o644 << 16
            member.create_system = 3  # on which those permissions mean something
            with path.open("rb") as source, packed.open(member, "w", force_zip64=path.stat().st_size > zipfile.ZIP64_LIMIT // 2) as target:
                shutil.copyfileobj(source, target, 2**20)
    part.replace(archive)
