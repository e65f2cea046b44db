from __future__ import annotations

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from likeness.errors import CorruptImage, ImageError, ImageTooLarge, UnsupportedFormat
from likeness.imaging.decode import DecodeLimits, decode
from likeness.types import RgbImage
from tests.unit.imaging.drawing import encoded, gradient, heic, mean_off_by, off_by, quarters

LOSSLESS = ("PNG", "BMP", "TIFF", "PPM")


def pixels_of(data: bytes, **options: object) -> RgbImage:
    return decode(data, "test", **options).pixels  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_the_pixels_back(kind: str) -> None:
    decoded = decode(encoded(gradient(), kind), "test")
    assert off_by(decoded.pixels, gradient()) == 0
    assert decoded.pixels.dtype == np.uint8
    assert (decoded.facts.width, decoded.facts.height) == (48, 32)
    assert decoded.facts.format == kind.lower()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (encoded(gradient(), "JPEG", quality=95), "jpeg"),
        (encoded(gradient(), "WEBP", quality=95), "webp"),
        (encoded(gradient(), "AVIF", quality=95), "avif"),
        (encoded(gradient(), "JPEG2000"), "jpeg2000"),
        (heic(gradient()), "heif"),
        (encoded(gradient(), "GIF"), "gif"),
    ],
)
def test_lossy_formats_come_close(data: bytes, name: str) -> None:
    decoded = decode(data, "test")
    assert decoded.facts.format == name
    assert mean_off_by(decoded.pixels, gradient()) < 8


def test_a_picture_of_several_frames_gives_its_first() -> None:
    frames = [Image.fromarray(gradient()), Image.fromarray(255 - gradient())]
    for kind in ("GIF", "WEBP", "TIFF", "PNG", "AVIF", "MPO"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        decoded = decode(data, kind)
        assert mean_off_by(decoded.pixels, gradient()) < 10, kind
        assert decoded.facts.format == {"MPO": "jpeg"}.get(kind, kind.lower())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_exif_orientation_is_turned_upright(kind: str, orientation: int) -> None:
    turns = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if kind in {"JPEG", "WEBP", "AVIF"} else {}
    decoded = decode(encoded(quarters(64, 32), kind, exif=exif, **options), "test")
    expected = turns[orientation](quarters(64, 32))
    assert mean_off_by(decoded.pixels, expected) < 6
    assert (decoded.facts.height, decoded.facts.width) == expected.shape[:2]


def test_heic_is_turned_once_by_its_own_rotation() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = decode(heic(quarters(64, 32), exif=exif.tobytes()), "test")
    plain = decode(heic(quarters(64, 32)), "test")
    # The encoder turns the tag into the container's rotation; the decoder undoes it.
    upright = {(32, 64): quarters(64, 32), (64, 32): np.rot90(quarters(64, 32), -1)}
    assert mean_off_by(decoded.pixels, upright[decoded.pixels.shape[:2]]) < 6
    assert mean_off_by(plain.pixels, quarters(64, 32)) < 6
    assert (decoded.facts.height, decoded.facts.width) == decoded.pixels.shape[:2]


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(8, axis=0)
    expected = np.arange(256, dtype=np.uint8)[None, :, None].repeat(8, 0).repeat(3, 2)
    for kind in ("PNG", "TIFF", "PPM", "JPEG2000"):
        options = {"irreversible": False} if kind == "JPEG2000" else {}
        assert off_by(pixels_of(encoded(Image.fromarray(ramp), kind, **options)), expected) <= 1


def test_sixteen_bit_colour_keeps_its_high_bytes() -> None:
    width, height = 16, 4
    row = np.linspace(0, 65535, width).astype(">u2")
    raw = b"".join(b"\x00" + np.stack([row, row, row], 1).tobytes() for _ in range(height))
    data = png(width, height, depth=16, colour=2, raw=raw)
    expected = (row.astype(float) / 257).round()
    assert np.abs(pixels_of(data)[0, :, 0] - expected).max() <= 1


@pytest.mark.parametrize("scale", [1.0, 255.0, 1e6])
def test_float_pictures_fill_the_range(scale: float) -> None:
    ramp = (np.linspace(0, 1, 64, dtype=np.float32) * np.float32(scale))[None].repeat(8, 0)
    ramp[0, 0] = np.nan
    ramp[0, 1] = np.inf
    pixels = pixels_of(encoded(Image.fromarray(ramp), "TIFF"))
    assert pixels[4, 0, 0] == 0
    assert pixels[4, -1, 0] == 255
    assert abs(int(pixels[4, 32, 0]) - 129) <= 2


def test_thirty_two_bit_integers_are_not_clipped() -> None:
    ramp = np.linspace(-1000, 1_000_000, 64).astype(np.int32)[None].repeat(8, 0)
    pixels = pixels_of(encoded(Image.fromarray(ramp, "I"), "TIFF"))
    assert (pixels[0, 0, 0], pixels[0, -1, 0]) == (0, 255)


def test_greyscale_and_black_and_white_become_grey_rgb() -> None:
    grey = Image.fromarray(gradient()).convert("L")
    pixels = pixels_of(encoded(grey, "PNG"))
    assert off_by(pixels, np.asarray(grey.convert("RGB"))) == 0
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        pixels = pixels_of(encoded(grey.convert("1"), kind))
        assert off_by(pixels, np.asarray(grey.convert("1").convert("RGB"))) == 0


def test_transparency_lies_on_white() -> None:
    rgba = np.dstack([quarters(), np.full((32, 48), 255, np.uint8)])
    rgba[:16, :24, 3] = 0
    rgba[16:, :24, 3] = 128
    for kind in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        pixels = pixels_of(encoded(Image.fromarray(rgba), kind, **options))
        assert tuple(pixels[0, 0]) == (255, 255, 255)
        assert off_by(pixels[-1:, :1], np.array([[[127, 127, 255]]], np.uint8)) <= 1
        assert tuple(pixels[0, -1]) == (0, 255, 0)
    assert mean_off_by(pixels_of(heic(Image.fromarray(rgba))), pixels) < 8
    assert mean_off_by(pixels_of(encoded(Image.fromarray(rgba), "AVIF")), pixels) < 8


def test_grey_with_alpha_lies_on_white() -> None:
    la = np.zeros((4, 4, 2), np.uint8)
    la[..., 1] = [0, 85, 170, 255]
    pixels = pixels_of(encoded(Image.fromarray(la), "PNG"))
    assert [int(v) for v in pixels[0, :, 0]] == [255, 170, 85, 0]


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_a_transparent_colour_lies_on_white(mode: str) -> None:
    black = Image.fromarray(np.zeros((8, 8, 3), np.uint8)).convert(mode)
    black.paste(Image.new("RGB", (4, 8), "white").convert(mode), (4, 0))
    white = Image.new("RGB", (8, 8), "white")
    key: object = {"RGB": (0, 0, 0), "L": 0, "1": 0}.get(mode)
    if mode == "P":
        key = black.getpixel((0, 0))
    pixels = pixels_of(encoded(black, "PNG", transparency=key))
    assert off_by(pixels, np.asarray(white)) == 0


def test_partly_transparent_palettes_lie_on_white() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 255, 0, 0, 255, 0, 0])
    for x in range(3):
        image.putpixel((x, 0), x)
    pixels = pixels_of(encoded(image, "PNG", transparency=bytes([0, 127, 255])))
    assert [tuple(int(v) for v in p) for p in pixels[0]] == [
        (255, 255, 255),
        (255, 128, 128),
        (255, 0, 0),
    ]


def test_cmyk_keeps_its_colours_with_adobes_inversion_or_without() -> None:
    cmyk = Image.fromarray(quarters(64, 64)).convert("CMYK")
    expected = np.asarray(cmyk.convert("RGB"))
    assert mean_off_by(pixels_of(encoded(cmyk, "JPEG", quality=98)), expected) < 4
    assert off_by(pixels_of(encoded(cmyk, "TIFF")), expected) == 0


def test_lab_is_converted() -> None:
    lab = ImageCms.applyTransform(
        Image.fromarray(gradient()),
        ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        ),
    )
    assert lab is not None
    assert mean_off_by(pixels_of(encoded(lab, "TIFF")), gradient()) < 6


def swapped_profile() -> bytes:
    """An sRGB-like profile whose name does not say so and whose red and green are exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile = profile.replace(b"sRGB", b"Odd!").replace(
        "sRGB".encode("utf-16-be"), "Odd!".encode("utf-16-be")
    )
    return bytes(
        profile.replace(b"rXYZ", b"TEMP").replace(b"gXYZ", b"rXYZ").replace(b"TEMP", b"gXYZ")
    )


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_another_colour_space_is_converted_to_srgb(kind: str) -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    options = {"quality": 98} if kind in {"JPEG", "WEBP"} else {}
    data = encoded(red, kind, icc_profile=swapped_profile(), **options)
    expected = np.zeros_like(red)
    expected[..., 1] = 255
    assert mean_off_by(pixels_of(data), expected) < 8


def test_an_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert off_by(pixels_of(encoded(gradient(), "PNG", icc_profile=profile)), gradient()) == 0


@pytest.mark.parametrize("profile", [b"nonsense", b"\x00" * 200, b""])
def test_a_broken_profile_is_ignored(profile: bytes) -> None:
    assert off_by(pixels_of(encoded(gradient(), "PNG", icc_profile=profile)), gradient()) == 0


def test_a_profile_for_another_colour_model_is_ignored() -> None:
    grey = Image.fromarray(gradient()).convert("L")
    profile = swapped_profile()
    pixels = pixels_of(encoded(grey, "PNG", icc_profile=profile))
    assert off_by(pixels, np.asarray(grey.convert("RGB"))) == 0


def test_a_damaged_profile_cut_anywhere_is_ignored_or_applied_but_never_fatal() -> None:
    profile = swapped_profile()
    for cut in range(0, len(profile), 37):
        pixels_of(encoded(gradient(8, 8), "PNG", icc_profile=profile[:cut]))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"\xc5\xd0\xd3\xc6" + b"\x00" * 100, "PostScript"),
        (b"%PDF-1.4\n", "PDF"),
        (b"\xd7\xcd\xc6\x9a" + b"\x00" * 100, "WMF"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "SVG"),
        (b"<svg/>", "SVG"),
        (b"<!doctype html><p>", "text, not an image"),
        (b"8BPS" + b"\x00" * 40, "Photoshop"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "video"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00", "camera raw"),
        (b"hello", "no known image format"),
    ],
)
def test_other_formats_are_refused_by_name_whatever_the_file_is_called(
    data: bytes, said: str
) -> None:
    with pytest.raises(UnsupportedFormat, match=said):
        decode(data, "looks_like.jpg")


def test_a_camera_raw_file_in_tiffs_clothes_is_refused() -> None:
    info = {254: 1, 50706: b"\x01\x04\x00\x00"}
    data = encoded(gradient(), "TIFF", tiffinfo=info)
    with pytest.raises(UnsupportedFormat, match="camera raw"):
        decode(data, "x.dng")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
def test_a_truncated_file_is_corrupt_never_half_a_picture(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    data = heic(noise) if kind == "HEIF" else encoded(noise, kind)
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(CorruptImage) as caught:
            decode(data[: int(len(data) * share)], "half")
        assert caught.value.reason


def test_pixels_and_bytes_over_the_limit_are_refused_before_decoding() -> None:
    data = encoded(gradient(100, 100), "PNG")
    with pytest.raises(ImageTooLarge, match=r"10,000 pixels, limit 9,999.*LIKENESS_MAX_PIXELS"):
        decode(data, "big", limits=DecodeLimits(max_pixels=9_999))
    with pytest.raises(ImageTooLarge, match="LIKENESS_MAX_BYTES"):
        decode(data, "big", limits=DecodeLimits(max_bytes=10))
    assert decode(data, "fits", limits=DecodeLimits(max_pixels=10_000)).facts.width == 100


@pytest.mark.parametrize("side", [30_000, 200_000])
def test_a_bomb_is_told_by_its_header(side: int) -> None:
    data = png(side, side, depth=8, colour=2, raw=b"")
    with pytest.raises(ImageTooLarge, match="limit 100,000,000"):
        decode(data, "bomb.png")


def test_a_raised_limit_allows_more_than_pillow_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # its own bomb check raises at twice that
    decoded = decode(encoded(gradient(), "PNG"), "large", limits=DecodeLimits(max_pixels=2000))
    assert decoded.facts.width == 48
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_text_bomb_in_a_png_is_refused_cheaply() -> None:
    bomb = zlib.compress(b"\x00" * (50 << 20), 1)
    data = png(8, 8, depth=8, colour=0, raw=b"\x00" * 72, extra=chunk(b"zTXt", b"k\x00\x00" + bomb))
    with pytest.raises(CorruptImage):
        decode(data, "text.png")


def test_broken_exif_does_not_spoil_a_good_picture() -> None:
    good = encoded(gradient(), "JPEG", quality=95)
    for payload in (
        b"Exif\x00\x00",
        b"Exif\x00\x00garbage",
        b"Exif\x00\x00II*\x00\xff\xff\xff\xff",
    ):
        segment = b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload
        decoded = decode(good[:2] + segment + good[2:], "odd")
        assert mean_off_by(decoded.pixels, gradient()) < 8
        assert decoded.facts.taken_at is None


def test_a_large_jpeg_is_decoded_at_reduced_scale_and_reports_its_full_size() -> None:
    data = encoded(gradient(1600, 1200), "JPEG", quality=90)
    reduced = decode(data, "large", min_side=300)
    assert reduced.pixels.shape == (300, 400, 3)
    assert (reduced.facts.width, reduced.facts.height) == (1600, 1200)
    assert decode(data, "large", min_side=301).pixels.shape == (600, 800, 3)
    assert decode(data, "large", min_side=5000).pixels.shape == (1200, 1600, 3)
    full = Image.fromarray(decode(data, "large").pixels).resize((400, 300), Image.Resampling.BOX)
    assert mean_off_by(reduced.pixels, np.asarray(full)) < 2


def test_a_reduced_jpeg_is_turned_and_its_full_size_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(gradient(1600, 800), "JPEG", exif=exif)
    reduced = decode(data, "large", min_side=200)
    assert reduced.pixels.shape == (400, 200, 3)
    assert (reduced.facts.width, reduced.facts.height) == (800, 1600)


def test_reduced_scale_serves_cmyk_grey_and_progressive_jpegs() -> None:
    image = Image.fromarray(gradient(800, 800))
    for mode in ("CMYK", "L", "RGB"):
        data = encoded(image.convert(mode), "JPEG", progressive=True)
        assert decode(data, mode, min_side=200).pixels.shape == (200, 200, 3)


FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
SAMPLES = {kind: encoded(gradient(16, 12), kind) for kind in FORMATS}


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    st.integers(0, 10_000),
)
def test_damage_of_any_kind_gives_pixels_or_an_image_error(
    kind: str, flips: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(SAMPLES[kind])
    for place, value in flips:
        data[place % len(data)] = value
    try:
        decoded = decode(bytes(data[: cut or None]), "fuzzed", limits=DecodeLimits(1_000_000))
    except ImageError as error:
        assert error.name == "fuzzed"  # noqa: PT017 — either outcome is right
    else:
        assert decoded.pixels.ndim == 3
        assert decoded.pixels.dtype == np.uint8


@given(st.binary(max_size=200))
def test_any_bytes_give_pixels_or_an_image_error(data: bytes) -> None:
    with contextlib.suppress(ImageError):
        decode(data, "any")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int, height: int, *, depth: int, colour: int, raw: bytes, extra: bytes = b""
) -> bytes:
    """A PNG made by hand. raw: filtered scan lines; extra: chunks before the pixels."""
    out = io.BytesIO()
    out.write(b"\x89PNG\r\n\x1a\n")
    out.write(chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)))
    out.write(extra)
    out.write(chunk(b"IDAT", zlib.compress(raw)))
    out.write(chunk(b"IEND", b""))
    return out.getvalue()
