"""Errors of sources."""


class SourceError(Exception):
    """The source cannot be submitted; the message is for the person who named it."""


class SourceAwayError(SourceError):
    """The source does not answer at the moment: a later attempt may succeed."""
