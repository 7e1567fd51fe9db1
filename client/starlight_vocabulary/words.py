"""The words that are stored or sent, as string enumerations."""

from enum import StrEnum
from typing import Final, Self, cast


class Word(StrEnum):
    """A word that is stored or sent."""

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the member; a word of a newer release stays text, so that older programs can pass it on."""
        return cls(text) if text in cls._value2member_map_ else cast("Self", text)


class ExplainedWord(Word):
    """A word with an explanation for people."""

    explanation: str

    def __new__(cls, word: str, explanation: str) -> Self:
        """Return the member with this word."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.explanation = explanation
        return member


class Outcome(Word):
    """The outcome of a scan."""

    CLEAN = "clean"
    STEGO = "stego"
    ERROR = "error"


class Method(Word):
    """The embedding methods that V4 names. Their positions are class ids of the model and must not change."""

    ALPHA = "alpha"
    PALETTE = "palette"
    LSB_RGB = "lsb.rgb"
    EXIF = "exif"
    RAW = "raw"


class BitOrder(Word):
    """The order of the bits in a hidden byte. Their positions are class ids of the model and must not change."""

    LSB_FIRST = "lsb-first"
    MSB_FIRST = "msb-first"
    NONE = "none"


METHODS: Final = tuple(Method)
BIT_ORDERS: Final = tuple(BitOrder)


class Priority(Word):
    """The queue of a job's chunks. Workers empty the first queue before they read the next."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class JobState(Word):
    """The state of a job."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class ListingState(Word):
    """The state of the listing of a job's sources; if it `failed`, what was listed before is scanned."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ChunkState(Word):
    """The state of a chunk."""

    PENDING = "pending"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class WebhookKind(Word):
    """The messages of a webhook: one for the job, as in Standard Webhooks, or one per image, in Stargate's format."""

    STANDARD = "standard"
    STARGATE = "stargate"


class Scope(Word):
    """What an API key may do; `admin` may do everything, with the jobs of all submitters."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"


class Judgement(Word):
    """A person's judgement of a verdict: it is true, false, or the person is unsure."""

    TRUE = "true"
    FALSE = "false"
    UNSURE = "unsure"


class ErrorCode(ExplainedWord):
    """Why an image has no score."""

    NOT_FOUND = "not_found", "there was nothing at the reference when it was scanned"
    NOT_READABLE = "not_readable", "the file could not be opened or read; the detail has the system's reason"
    UNAVAILABLE = (
        "unavailable",
        "disk, object store or server did not answer in any of the tries; `starlight retry` tries again",
    )
    NOT_A_FILE = "not_a_file", "the reference is a folder, pipe, socket or device"
    DIRECTORY_LOOP = "directory_loop", "the reference is a link to a folder that contains it"
    UNSUPPORTED_URI = "unsupported_uri", "references of this scheme cannot be loaded"
    FORBIDDEN_ADDRESS = "forbidden_address", "the URL, or a redirect of it, leads to an address that is not public"
    BAD_ARCHIVE_MEMBER = (
        "bad_archive_member",
        "the member is damaged, encrypted, a link, sparse or compressed by an unsupported method, "
        "or its archive has changed",
    )
    EMPTY = "empty", "the file has no bytes"
    TOO_LARGE = "too_large", "the file exceeds STARLIGHT_MAX_IMAGE_BYTES"
    UNKNOWN_FORMAT = "unknown_format", "the bytes are not an image of a supported format"
    TOO_MANY_PIXELS = "too_many_pixels", "the picture exceeds STARLIGHT_MAX_IMAGE_PIXELS"
    TRUNCATED = "truncated", "the image ends before its last pixel"
    CORRUPT = "corrupt", "the decoder refused the image; the detail has its reason"
    TOO_SLOW = "too_slow", "decoding the image takes more processor time than STARLIGHT_MAX_DECODE_SECONDS"
    TOO_MUCH_MEMORY = "too_much_memory", "decoding the image takes more memory than STARLIGHT_MAX_DECODE_BYTES"
    DECODER_CRASH = "decoder_crash", "the image crashed the process that decoded it, twice"
    SCAN_FAILED = "scan_failed", "V4 failed on this image"
    WORKER_CRASH = "worker_crash", "this image, scanned alone, repeatedly ended its worker or its scan"
    CANCELLED = "cancelled", "the job was cancelled before the image was scanned"
    NOT_LISTED = (
        "not_listed",
        "the source could not be listed completely; the detail has the reason, and what was listed is scanned",
    )


FAILURES: Final = tuple(code for code in ErrorCode if code not in (ErrorCode.CANCELLED, ErrorCode.NOT_LISTED))
"""Errors that a retry scans again: not `cancelled`, which is no failure, nor `not_listed`, which is not an image's."""
