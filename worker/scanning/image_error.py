"""Why an image cannot be scanned."""

from starlight_vocabulary.words import ErrorCode


class ImageError(Exception):
    """An image that gets an `error` verdict: its code, and a detail for the person who reads it."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
