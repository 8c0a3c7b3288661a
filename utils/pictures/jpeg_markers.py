"""JPEG at the level of its markers: what its decoder bridges without a word.

A JPEG is a chain of segments, each a marker (0xFF and a code) with a length and a body. A scan's segment is followed by its pixels, in which every
0xFF is followed by 0, but for restart markers, which count from 0 to 7 and over again (ITU-T T.81, annex B).
"""

import re
from typing import IO

_MARKER = re.compile(rb"\xff+([\x01-\xfe])")
_FIRST_RESTART, _LAST_RESTART, _END, _SCAN, _RESTART_INTERVAL = 0xD0, 0xD7, 0xD9, 0xDA, 0xDD
_BETWEEN_SCANS = {0xC4, 0xCC, _SCAN, 0xDB, 0xDC, _RESTART_INTERVAL, *range(0xE0, 0xF0), 0xFE}


def are_scans_in_order(stream: IO[bytes]) -> bool:
    """Whether no marker shows that a part of the pixels is lost or is something else: one that cannot be there, or a restart too early or too late.

    Damage that leaves the markers alone is not seen, nor is where the file ends.
    """
    stream.seek(0)
    data, position, interval, restarts = stream.read(), 2, 0, 0
    in_scan = after_scan = False
    while found := (_MARKER.search if in_scan else _MARKER.match)(data, position):
        code, position = found[1][0], found.end()
        if in_scan and _FIRST_RESTART <= code <= _LAST_RESTART:
            if not interval or code - _FIRST_RESTART != restarts % 8:
                return False
            restarts += 1
            continue
        if code == _END:
            return True
        if after_scan and code not in _BETWEEN_SCANS:
            return False
        if code == _RESTART_INTERVAL:
            interval = int.from_bytes(data[position + 2 : position + 4], "big")
        in_scan, restarts = code == _SCAN, 0
        after_scan |= in_scan
        position += int.from_bytes(data[position : position + 2], "big")
    return in_scan or not after_scan or position >= len(data)
