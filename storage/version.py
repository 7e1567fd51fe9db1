"""The version; in the code, because containers have the code without an installed distribution."""

VERSION = "0.2.0"
