"""Pictures of strangers' images, for whoever shows them to people."""

from storage.settings import Settings
from worker.scanning.decoding_pool import open_decoding_pool


class PictureMaking:
    """Makes pictures in up to `makers` decoding processes, within the limits that scans have; for many threads."""

    def __init__(self, settings: Settings, makers: int) -> None:
        self._decoding = open_decoding_pool(settings, makers, settings.max_image_bytes)

    def close(self) -> None:
        """End the processes; nobody may be using one."""
        self._decoding.stop()

    def make(self, data: bytes, *, thumbnail: bool) -> bytes | None:
        """Return what an image shows as a new WebP file, also of a damaged one; None where nothing can be seen."""
        return self._decoding.make_picture(data, thumbnail=thumbnail)
