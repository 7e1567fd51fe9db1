"""Stargate's requests, byte for byte as its Go client writes them."""

BOUNDARY = "7d1b0d1f5a3c4e6f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5"


def write_form(image: bytes, /, file_name: str = "image.png", **fields: str) -> tuple[bytes, str]:
    """Return a form as Go's `multipart.Writer` writes it, and its content type."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{file_name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + image
    ]
    parts += [
        f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
        for name, value in fields.items()
    ]
    return b"".join(parts) + f"\r\n--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"
