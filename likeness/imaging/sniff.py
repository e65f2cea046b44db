"""Which image format the bytes are, told from the bytes alone.

The name of a file is never believed. Formats that are read stand in `READABLE`; formats that are
recognised only to be refused by name stand in `REFUSED`, interpreters (PostScript, PDF, WMF, SVG)
first of all: their decoders run programs.
"""

from __future__ import annotations

from dataclasses import dataclass

SNIFF_BYTES = 1024
"""How much of the head `sniff` looks at."""


@dataclass(frozen=True, slots=True)
class Format:
    """One readable format.

    name: as reported in facts. plugin, module: Pillow's name for it and the module that registers
    it; None for HEIF, which has a library of its own.
    """

    name: str
    plugin: str | None
    module: str | None


JPEG = Format("jpeg", "JPEG", "PIL.JpegImagePlugin")
PNG = Format("png", "PNG", "PIL.PngImagePlugin")
WEBP = Format("webp", "WEBP", "PIL.WebPImagePlugin")
GIF = Format("gif", "GIF", "PIL.GifImagePlugin")
BMP = Format("bmp", "BMP", "PIL.BmpImagePlugin")
TIFF = Format("tiff", "TIFF", "PIL.TiffImagePlugin")
AVIF = Format("avif", "AVIF", "PIL.AvifImagePlugin")
HEIF = Format("heif", None, None)
JPEG2000 = Format("jpeg2000", "JPEG2000", "PIL.Jpeg2KImagePlugin")
PPM = Format("ppm", "PPM", "PIL.PpmImagePlugin")

READABLE = (JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF, HEIF, JPEG2000, PPM)

_MAGIC: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"II*\x00", TIFF),
    (b"MM\x00*", TIFF),
    (b"II+\x00", TIFF),
    (b"MM\x00+", TIFF),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", JPEG2000),
    (b"\xff\x4f\xff\x51", JPEG2000),
)

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"})
_CONTAINER_BRANDS = frozenset({b"mif1", b"msf1", b"mif2", b"miaf"})

REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"%!PS", "a PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file"),
    (b"%PDF", "a PDF file"),
    (b"\xd7\xcd\xc6\x9a", "a WMF file"),
    (b"8BPS", "a Photoshop file"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\x00\x00\x02\x00", "a cursor"),
    (b"icns", "an Apple icon"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL file"),
    (b"\xff\x0a", "a JPEG XL file"),
    (b"qoif", "a QOI file"),
    (b"DDS ", "a DirectDraw surface"),
    (b"SIMPLE  =", "a FITS file"),
    (b"\x76\x2f\x31\x01", "an OpenEXR file"),
    (b"#?RADIANCE", "a Radiance HDR file"),
    (b"gimp xcf", "a GIMP file"),
    (b"\x0a\x05\x01\x08", "a PCX file"),
    (b"\x59\xa6\x6a\x95", "a Sun raster file"),
    (b"\x01\xda", "an SGI file"),
    (b"FUJIFILMCCD-RAW", "a camera raw file"),
    (b"IIRO", "a camera raw file"),
    (b"IIU\x00", "a camera raw file"),
    (b"<svg", "a SVG file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1aE\xdf\xa3", "a Matroska video"),
)


def sniff(data: bytes) -> Format | None:
    """The readable format that `data` begins as, or None."""
    head = bytes(data[:SNIFF_BYTES])
    if _is_camera_raw(head):
        return None
    for magic, found in _MAGIC:
        if head.startswith(magic):
            return found
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if head[4:8] == b"ftyp":
        return _iso_base_media(head)
    if head[:2] == b"BM" and len(head) >= 26:
        return BMP
    if len(head) > 2 and head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return PPM
    return None


def foreign_name(data: bytes) -> str:
    """What bytes are that `sniff` does not accept, with its article: `a PDF file`."""
    head = bytes(data[:SNIFF_BYTES])
    if not head:
        return "empty"
    if _is_camera_raw(head):
        return "a camera raw file"
    for magic, name in REFUSED:
        if head.startswith(magic):
            return name
    if head[:4] == b"\x01\x00\x00\x00" and head[40:44] == b" EMF":
        return "an EMF file"
    if head[4:8] == b"ftyp":
        return "a video or an unknown ISO media file"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<?xml") and b"<svg" in text:
        return "an SVG file"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"{", b"[")):
        return "text, not an image"
    return "of no known image format"


def _iso_base_media(head: bytes) -> Format | None:
    """AVIF and HEIF share a container: the major brand, then the compatible ones, tell."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    major = head[8:12]
    compatible = {head[i : i + 4] for i in range(16, max(length - 3, 16), 4)}
    if major in _AVIF_BRANDS:
        return AVIF
    if major in _HEIF_BRANDS:
        return HEIF
    if major in _CONTAINER_BRANDS:
        if compatible & _AVIF_BRANDS:
            return AVIF
        if compatible & _HEIF_BRANDS or not compatible - _CONTAINER_BRANDS:
            return HEIF
    return None


def _is_camera_raw(head: bytes) -> bool:
    """Canon's CR2 and CR3 wear TIFF's and ISO media's clothes."""
    return head[8:11] == b"CR\x02" or head[4:12] == b"ftypcrx "
