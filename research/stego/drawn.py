"""Draws pictures of kinds that detectors of hidden text often misjudge."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Rng = np.random.Generator
Pixels = NDArray[np.uint8]


def draw_picture(rng: Rng, kind: str | None = None, size: tuple[int, int] | None = None) -> Image.Image:
    """Draw an RGB picture of one of `PICTURE_KINDS`; `size` is (width, height), random if not given."""
    width, height = size or draw_dimensions(rng)
    maker = PICTURE_KINDS[kind or PICTURE_NAMES[rng.integers(len(PICTURE_NAMES))]]
    return maker(rng, width, height)


def draw_dimensions(rng: Rng) -> tuple[int, int]:
    """Draw width and height: mostly as small as icons, at most about 400 pixels."""
    if rng.random() < 0.4:
        side = int((8, 16, 20, 24, 32, 48, 64, 68, 72, 96, 128)[rng.integers(11)])
        return side, side
    return int(2 ** rng.uniform(3, 8.6)), int(2 ** rng.uniform(3, 8))


def _colour(rng: Rng) -> Pixels:
    if rng.random() < 0.3:
        return np.full(3, rng.choice([0, 255, 128, 127, 1, 254]), np.uint8)
    return rng.integers(0, 256, 3, dtype=np.uint8)


def _two_colours(rng: Rng, mask: NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(np.where(mask[..., None], _colour(rng), _colour(rng)))


def _flat(rng: Rng, width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), tuple(int(value) for value in _colour(rng)))


def _stripes(rng: Rng, width: int, height: int) -> Image.Image:
    """Draw stripes of any period and direction: their bits repeat and may form printable bytes."""
    colours = np.stack([_colour(rng) for _ in range(rng.integers(2, 9))])
    y, x = np.mgrid[:height, :width]
    position = (x * rng.integers(0, 4) + y * rng.integers(0, 4) + x * (rng.random() < 0.5)) // int(rng.integers(1, 9))
    return Image.fromarray(colours[position % len(colours)])


def _checks(rng: Rng, width: int, height: int) -> Image.Image:
    side = int(rng.integers(1, 17))
    y, x = np.mgrid[:height, :width]
    return _two_colours(rng, (x // side + y // side) % 2 == 0)


def _codes(rng: Rng, width: int, height: int) -> Image.Image:
    """Draw random modules, as in QR codes, with a quiet zone."""
    module = int(rng.integers(1, 9))
    grid = rng.random((height // module + 1, width // module + 1)) < rng.uniform(0.2, 0.8)
    mask = np.kron(grid, np.ones((module, module), bool))[:height, :width]
    quiet = int(rng.integers(0, 4)) * module
    mask[:quiet] = mask[:, :quiet] = False
    return _two_colours(rng, mask)


def _tile(rng: Rng, width: int, height: int) -> Image.Image:
    """Repeat a small random tile, as a texture or background pattern."""
    colours = np.stack([_colour(rng) for _ in range(rng.integers(2, 17))])
    tile = rng.integers(0, len(colours), (int(rng.integers(1, 13)), int(rng.integers(1, 13))))
    repeats = (height // tile.shape[0] + 1, width // tile.shape[1] + 1)
    return Image.fromarray(colours[np.tile(tile, repeats)[:height, :width]])


def _gradient(rng: Rng, width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    amount = (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1) + 1.0) % 1.0
    ramp = _colour(rng) * amount[..., None] + _colour(rng) * (1.0 - amount[..., None])
    if rng.random() < 0.4:
        ramp = ramp + rng.normal(0, rng.uniform(0.2, 3), ramp.shape)
    return Image.fromarray(np.clip(np.round(ramp), 0, 255).astype(np.uint8))


def _noise(rng: Rng, width: int, height: int) -> Image.Image:
    deviation = rng.uniform(0.3, 90)
    noise = rng.normal(_colour(rng), deviation, (height, width, 3))
    if rng.random() < 0.3:
        noise = np.broadcast_to(noise[..., :1], noise.shape)
    return Image.fromarray(np.clip(np.round(noise), 0, 255).astype(np.uint8))


def _photo(rng: Rng, width: int, height: int) -> Image.Image:
    """Draw smooth fields with sensor noise."""
    field = np.zeros((height, width, 3))
    for step in (3, 7, 17):
        coarse = rng.integers(0, 256, (step, step, 3), dtype=np.uint8)
        field += np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), float) / 3.0
    field += rng.normal(0, rng.uniform(0, 6), field.shape)
    return Image.fromarray(np.clip(np.round(field), 0, 255).astype(np.uint8))


def _pixel_art(rng: Rng, width: int, height: int) -> Image.Image:
    """Draw a mirrored sprite of few colours on a plain background, enlarged without smoothing."""
    side = int(rng.integers(6, 25))
    colours = np.stack([_colour(rng) for _ in range(rng.integers(2, 9))])
    half = rng.integers(0, len(colours), (side, side // 2)) * (rng.random((side, side // 2)) < 0.6)
    sprite = np.concatenate([half, half[:, ::-1]], axis=1)
    small = Image.fromarray(colours[np.pad(sprite, int(rng.integers(0, 5)))])
    return small.resize((width, height), Image.Resampling.NEAREST)


def _shapes(rng: Rng, width: int, height: int) -> Image.Image:
    """Draw shapes as in icons, charts and diagrams; half of the pictures with smooth edges."""
    scale = 2 if rng.random() < 0.5 else 1
    image = _flat(rng, width * scale, height * scale)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(1, 14)):
        xs = np.sort(rng.integers(0, width * scale, 2))
        ys = np.sort(rng.integers(0, height * scale, 2))
        box = (int(xs[0]), int(ys[0]), int(xs[1]), int(ys[1]))
        fill = tuple(int(value) for value in _colour(rng))
        (draw.ellipse, draw.rectangle, draw.line)[rng.integers(3)](box, fill=fill)
    return image.resize((width, height), Image.Resampling.LANCZOS) if scale == 2 else image


def _screen(rng: Rng, width: int, height: int) -> Image.Image:
    """Draw lines of text on plain panels, as in screenshots."""
    image = _flat(rng, width, height)
    draw = ImageDraw.Draw(image)
    ink = tuple(int(value) for value in _colour(rng))
    draw.rectangle((0, 0, width, int(rng.integers(0, 24))), fill=tuple(int(value) for value in _colour(rng)))
    for top in range(int(rng.integers(0, 12)), height, 12):
        letters = "".join(chr(code) for code in rng.integers(33, 127, int(rng.integers(1, 40))))
        draw.text((int(rng.integers(0, 8)), top), letters, fill=ink)
    return image


PICTURE_KINDS: Final[dict[str, Callable[[Rng, int, int], Image.Image]]] = {
    "flat": _flat,
    "stripes": _stripes,
    "checks": _checks,
    "codes": _codes,
    "tile": _tile,
    "gradient": _gradient,
    "noise": _noise,
    "photo": _photo,
    "pixel art": _pixel_art,
    "shapes": _shapes,
    "screen": _screen,
}
PICTURE_NAMES: Final = tuple(PICTURE_KINDS)
