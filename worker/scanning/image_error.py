"""The error of an image that cannot be scanned."""

from starlight_vocabulary.words import ErrorCode


class ImageError(Exception):
    """The reason for an image's `error` verdict: a code, and a detail for people."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
