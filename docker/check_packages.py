"""`check_packages.py`: check that packages work without what was deleted or replaced in them."""

import io
import ssl
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
from PIL import Image, ImageDraw, features
from pyarrow import orc, parquet

# What programs read besides what Pillow always can; each needs a library.
CODECS = ("jpg", "jpg_2000", "libtiff", "zlib", "webp", "avif")


def check_numpy() -> None:
    """OpenBLAS, which numpy's wheel has beside it, and extensions for numpy's tests are left out."""
    bundled = Path(np.__file__).parents[1] / "numpy.libs"
    assert not bundled.exists(), f"{bundled} exists: do numpy.lock and app.lock have the same numpy?"
    values = np.random.default_rng(0).normal(size=(20, 20))
    np.testing.assert_allclose(values @ np.linalg.inv(values), np.eye(20), atol=1e-6)
    np.testing.assert_allclose(np.fft.ifft(np.fft.fft(values)).real, values, atol=1e-6)


def check_pyarrow() -> None:
    """Servers, datasets, queries and encryption are deleted: tables are written and read in all compressions."""
    table = pa.table({"uri": ["a", None, "c"], "size": [1, 2, 3], "tags": [["x"], [], None]})
    for compression in ("none", "snappy", "gzip", "brotli", "lz4", "zstd"):
        file = io.BytesIO()
        parquet.write_table(table, file, compression=compression)
        assert parquet.ParquetFile(file).read().equals(table), compression
    for compression in ("uncompressed", "snappy", "zlib", "lz4", "zstd"):
        file = io.BytesIO()
        orc.write_table(table, file, compression=compression)
        assert orc.ORCFile(file).read().equals(table), compression


def check_pillow() -> None:
    """Fonts and colour management are deleted: pictures are drawn, written and read in all formats."""
    for codec in CODECS:
        assert features.check(codec), codec
    picture = Image.new("RGB", (32, 24), "navy")
    ImageDraw.Draw(picture).ellipse((4, 4, 20, 20), fill="white")
    for kind in ("PNG", "JPEG", "JPEG2000", "TIFF", "WEBP", "AVIF", "GIF", "BMP"):
        file = io.BytesIO()
        picture.save(file, kind)
        assert Image.open(file).convert("RGB").size == picture.size, kind
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "zstd", "lzma"):
        file = io.BytesIO()
        picture.save(file, "TIFF", compression=compression)
        Image.open(file).load()


def check_psycopg() -> None:
    """OpenSSL is Debian's, the same that Python has."""
    assert psycopg.pq.__impl__ == "binary"
    with Path("/proc/self/maps").open() as maps:
        loaded = {line.split()[-1] for line in maps if "libcrypto" in line or "libssl" in line}
    assert len(loaded) == 2, loaded
    assert ssl.create_default_context().minimum_version >= ssl.TLSVersion.TLSv1_2


if __name__ == "__main__":
    check_numpy()
    check_pyarrow()
    check_pillow()
    check_psycopg()
