"""`python -m tests.kit.unpack_and_measure ARCHIVE`: unpack it as a program does that nothing else happens in.

Prints JSON: how many members came, how many bytes in them, what it was refused with, and what the system says that
the process which unpacked took: bytes of memory at most, and seconds of processor time.
"""

import json
import os
import sys
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

from producer.sources.archives import ArchiveTooLargeError
from producer.sources.unpacking import read_limits, unpack
from storage.settings import Settings

if __name__ == "__main__":
    count = size = 0
    refusal = ""
    try:
        for member in unpack(os.fsencode(sys.argv[1]), read_limits(Settings())):
            count += 1
            size += len(member.data or b"")
    except ArchiveTooLargeError as error:
        refusal = error.reason
    taken = getrusage(RUSAGE_CHILDREN)
    print(
        json.dumps(
            {
                "members": count,
                "size": size,
                "refusal": refusal,
                "child_bytes": 1024 * taken.ru_maxrss,
                "child_s": taken.ru_utime + taken.ru_stime,
                "own_bytes": 1024 * getrusage(RUSAGE_SELF).ru_maxrss,
            }
        )
    )
