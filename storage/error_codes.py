"""The codes of `error` verdicts, with what each means to the person who reads it."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """Why a reference has no score."""

    NOT_FOUND = "not_found"
    NOT_READABLE = "not_readable"
    UNAVAILABLE = "unavailable"
    NOT_A_FILE = "not_a_file"
    DIRECTORY_LOOP = "directory_loop"
    UNSUPPORTED_URI = "unsupported_uri"
    FORBIDDEN_ADDRESS = "forbidden_address"
    BAD_ARCHIVE_MEMBER = "bad_archive_member"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    UNKNOWN_FORMAT = "unknown_format"
    TOO_MANY_PIXELS = "too_many_pixels"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    SCAN_FAILED = "scan_failed"
    WORKER_CRASH = "worker_crash"
    CANCELLED = "cancelled"


# What may end otherwise when it is scanned again; a cancelled image did not fail.
FAILURES = tuple(code for code in ErrorCode if code is not ErrorCode.CANCELLED)

EXPLANATIONS: dict[ErrorCode, str] = {
    ErrorCode.NOT_FOUND: "there was nothing at the reference when it was scanned",
    ErrorCode.NOT_READABLE: "the file could not be opened or read; the detail has the system's reason",
    ErrorCode.UNAVAILABLE: "disk, object store or server did not answer, try after try; `starlight retry` asks again",
    ErrorCode.NOT_A_FILE: "the reference is a folder, pipe, socket or device",
    ErrorCode.DIRECTORY_LOOP: "the reference is a link to a folder that contains it",
    ErrorCode.UNSUPPORTED_URI: "references of this scheme cannot be loaded",
    ErrorCode.FORBIDDEN_ADDRESS: "the URL, or a redirect of it, leads to an address that is not public",
    ErrorCode.BAD_ARCHIVE_MEMBER: "the archive is damaged or encrypted where this member is",
    ErrorCode.EMPTY: "the file has no bytes",
    ErrorCode.TOO_LARGE: "the file exceeds STARLIGHT_MAX_IMAGE_BYTES",
    ErrorCode.UNKNOWN_FORMAT: "the bytes are no image of a supported format",
    ErrorCode.TOO_MANY_PIXELS: "the picture exceeds STARLIGHT_MAX_IMAGE_PIXELS",
    ErrorCode.TRUNCATED: "the image ends before its last pixel",
    ErrorCode.CORRUPT: "the decoder refused the image; the detail has its reason",
    ErrorCode.SCAN_FAILED: "V4 failed on this image",
    ErrorCode.WORKER_CRASH: "this image alone repeatedly ended its worker or its scan",
    ErrorCode.CANCELLED: "the job was cancelled before the image was scanned",
}
