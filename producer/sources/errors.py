"""What is wrong with a source, for the person who named it."""


class SourceError(Exception):
    """A source that names nothing, or too much; the message is for the person who named it."""


class SourceAwayError(SourceError):
    """A source that does not answer for now."""
