"""`python -m tests.kit.unpack_and_measure ARCHIVE`: unpack an archive in a process that does nothing else.

Prints JSON: the number of members and their bytes, the reason of a refusal, and the resources of the unpacking process:
peak memory in bytes, and seconds of processor time.
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
