"""The protocol of the process that unpacks an archive: it sends frames of a kind, a length and a payload.

READY                        once, before it reads the archive
MEMBER name, DATA bytes …    a file and its bytes; WHOLE or UNREADABLE ends it
MEMBER name, SPAN numbers    a file, and the offset and size of its bytes in the archive
REQUEST numbers              for bytes of a remote archive; the answer is their number and the bytes
PROGRESS                     now and then while there is nothing else to send
END, DAMAGED, TOO_MUCH, TOO_MUCH_MEMORY or FAILED text, as the last frame
"""

import struct
from typing import IO, Final

from producer.sources.archive_reading import PIECE_BYTES

READY: Final = b"r"
MEMBER: Final = b"m"
DATA: Final = b"d"
WHOLE: Final = b"w"
UNREADABLE: Final = b"u"
SPAN: Final = b"s"
REQUEST: Final = b"a"
PROGRESS: Final = b"p"
END: Final = b"e"
DAMAGED: Final = b"x"
TOO_MUCH: Final = b"t"
TOO_MUCH_MEMORY: Final = b"o"
FAILED: Final = b"f"
LAST: Final = frozenset({END, DAMAGED, TOO_MUCH, TOO_MUCH_MEMORY, FAILED})

HEAD: Final = struct.Struct("<cI")
# Offset and size in bytes, of a member and of a request.
SPAN_NUMBERS: Final = struct.Struct("<QQ")
REQUESTED_RANGE: Final = struct.Struct("<QI")
ANSWER_HEAD: Final = struct.Struct("<I")
MAX_REQUEST_BYTES: Final = 2**20
MAX_PAYLOAD_BYTES: Final = PIECE_BYTES
# The longest path on Linux; longer names are cut.
MAX_NAME_BYTES: Final = 4096


class BrokenFramesError(Exception):
    """The stream violates the protocol or ends within a frame."""


def write_frame(stream: IO[bytes], kind: bytes, payload: bytes = b"") -> None:
    """Write one frame; raises OSError."""
    stream.write(HEAD.pack(kind, len(payload)))
    stream.write(payload)


def read_frame(stream: IO[bytes]) -> tuple[bytes, bytes]:
    """Return the kind and the payload of the next frame; raises BrokenFramesError, and OSError."""
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        raise BrokenFramesError
    kind, size = HEAD.unpack(head)
    if size > MAX_PAYLOAD_BYTES:
        raise BrokenFramesError
    payload = stream.read(size)
    if len(payload) < size:
        raise BrokenFramesError
    return kind, payload
