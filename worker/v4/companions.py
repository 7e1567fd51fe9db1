"""Reads what a file declares about the bytes after its picture: more pictures, a video, or a copy of its own bytes.

Sources: CIPA DC-007 (multi-picture format), Google's motion photo and Ultra HDR formats (XMP). Nothing here raises, and
the time is linear in the size of the head that is searched and of the trailing bytes.
"""

import re
import struct
from dataclasses import dataclass
from typing import Final

_HEAD_BYTES: Final = 262_144
"""How many bytes from the start of a file are searched for declarations."""
_MAX_PICTURES: Final = 64
_MULTI_PICTURE: Final = b"MPF\x00"
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\x00"
_VIDEO: Final = re.compile(rb"MicroVideo|MotionPhoto|Container:Directory|hdrgm:Version")
_LENGTHS: Final = re.compile(rb"(?:MicroVideoOffset|Item:Length|Item:Padding)(?:=\"|>)(\d{1,10})")
_PICTURES_TAG: Final = 0xB002
SAME_BYTES: Final = 1024
"""How many trailing bytes are compared with the first bytes of the file."""


@dataclass(frozen=True, slots=True)
class Companions:
    """What a file declares about the bytes that trail its picture; all fields are empty if there are none.

    `pictures`: it has a multi-picture index. `video`: its XMP declares a motion photo or a gain map. `declared`: how
    many trailing bytes these declarations account for. `same_start`: how many of the first `SAME_BYTES` trailing bytes
    equal the first bytes of the file. `same_end`: the trailing bytes equal the last bytes of the picture. `whole`: they
    equal the whole picture.
    """

    pictures: bool = False
    video: bool = False
    declared: int = 0
    same_start: int = 0
    same_end: bool = False
    whole: bool = False

    @property
    def flags(self) -> int:
        """The boolean fields as bits: pictures 1, video 2, same_end 4, whole 8."""
        return self.pictures + 2 * self.video + 4 * self.same_end + 8 * self.whole


def find_companions(data: bytes, container: str, end: int) -> Companions:
    """Return what the file `data` declares about its bytes from `end` on."""
    trailing = len(data) - end
    if trailing <= 0:
        return Companions()
    tail = memoryview(data)[end:]
    pictures, video, declared = (False, False, 0)
    if container == "jpeg":
        index = data.find(_MULTI_PICTURE, 0, min(end, _HEAD_BYTES))
        if index >= 0:
            pictures, declared = True, _declared_pictures(data, index + len(_MULTI_PICTURE), end)
        start = data.find(_XMP, 0, min(end, _HEAD_BYTES))
        if start >= 0:
            packet = data[start : min(start + 65_536, end)]
            video = _VIDEO.search(packet) is not None
            lengths = (int(found) for found in _LENGTHS.findall(packet)[:_MAX_PICTURES])
            declared = max(declared, sum(length for length in lengths if length <= trailing)) if video else declared
    return Companions(
        pictures,
        video,
        min(declared, trailing),
        _common_start(bytes(data[:SAME_BYTES]), bytes(tail[:SAME_BYTES])),
        trailing >= 2 and trailing <= end and data.endswith(data[end - trailing : end]),
        trailing == end and data.startswith(tail),
    )


def _declared_pictures(data: bytes, start: int, end: int) -> int:
    """Return the total size of the pictures that the index at `start` places after `end`."""
    order = {b"II": "<", b"MM": ">"}.get(data[start : start + 2])
    if order is None or start + 8 > len(data):
        return 0
    directory = start + int(struct.unpack_from(order + "I", data, start + 4)[0])
    if directory + 2 > end:
        return 0
    (count,) = struct.unpack_from(order + "H", data, directory)
    total = 0
    for number in range(min(count, (end - directory - 2) // 12, 16)):
        tag, _, size, offset = struct.unpack_from(order + "HHII", data, directory + 2 + 12 * number)
        if tag != _PICTURES_TAG:
            continue
        for picture in range(min(size // 16, _MAX_PICTURES)):
            at = start + offset + 16 * picture
            if at + 16 > len(data):
                break
            _, length, place = struct.unpack_from(order + "III", data, at)
            total += length if place and start + place >= end else 0
    return total


def _common_start(first: bytes, second: bytes) -> int:
    shorter = min(len(first), len(second))
    if first[:shorter] == second[:shorter]:
        return shorter
    return next(index for index in range(shorter) if first[index] != second[index])
