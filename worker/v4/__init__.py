"""V4, the stego detector: planes of an image in, a score out.

`planes`, `containers`, `exif`, `card`, `extraction`, `embedding` and `hiding` need only numpy and Pillow; `streams`,
`network` and `detector` import torch. Nothing is imported here, so that a process that only needs the card starts fast.
"""
