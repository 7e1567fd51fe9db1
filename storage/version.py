"""Which version this is. In the code, as containers hold the code and no installed distribution."""

VERSION = "0.2.0"
