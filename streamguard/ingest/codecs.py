"""Which decoders FFmpeg may choose: the one list. FFmpeg has hundreds, most of them for what nobody has streamed in
twenty years, and most of its holes are in those.

Names are FFmpeg's own of codecs, not of decoders: `av1` is decoded by whichever decoder its build has.
"""

LIVE = ("av1", "h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9", "vvc")
"""Of live streams, where ingest.codecs says nothing else."""

PICTURES = (
    "apng", "bmp", "gif", "jpeg2000", "jpegls", "jpegxl", "jpegxl_anim", "mjpeg", "pam", "pbm", "pcx", "pgm", "pgmyuv",
    "png", "ppm", "qoi", "sgi", "tiff", "webp",
)  # fmt: skip

FILES = (
    *LIVE, *PICTURES, "dnxhd", "dvvideo", "ffv1", "flv1", "h263", "huffyuv", "ffvhuff", "msmpeg4v1", "msmpeg4v2",
    "msmpeg4v3", "prores", "rawvideo", "theora", "utvideo", "vc1", "vp6", "vp6f", "wmv1", "wmv2", "wmv3",
    "cfhd", "h263p", "v210", "vp3",
)  # fmt: skip
"""Of files, which the operator names: footage of all ages, and what editors keep theirs in."""

WHITELIST = ",".join((*FILES, "libaom-av1", "libdav1d", "libjxl", "libopenjpeg", "libvpx", "libvpx-vp9", "libwebp"))
"""The same as decoders are called, for what FFmpeg decodes by itself to find out about a file."""


def refused(name: str, *, allowed: tuple[str, ...], option: str) -> str:
    """Why a codec is not decoded; empty where it is. `option`: what the list is called."""
    return "" if name in allowed else f"its codec {name} is none of {option}"
