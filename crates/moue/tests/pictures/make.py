"""Writes the pictures of this folder: one drawn face in every kind of image file that moue reads.

    python make.py            (needs pillow; the test `formats` reads the files)

`face.png` is the reference. Files named `lossy-…` differ from it a little, all others not at all."""

import pathlib
import struct
import zlib

from PIL import Image, ImageDraw

HERE = pathlib.Path(__file__).parent
SIDE = (48, 40)


def face():
    picture = Image.new("RGB", SIDE, (70, 110, 160))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((8, 4, 40, 38), fill=(224, 180, 140))
    for x in (17, 28):
        pen.ellipse((x, 14, x + 4, 18), fill=(40, 30, 30))
    pen.arc((16, 18, 32, 31), 20, 160, fill=(150, 40, 40), width=2)
    pen.rectangle((0, 0, 5, 5), fill=(250, 250, 0))
    return picture


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def sixteen_bit(picture):
    """A PNG with 16 bits per channel."""
    rows = b"".join(
        b"\0" + b"".join(struct.pack(">H", 257 * value) for x in range(SIDE[0]) for value in picture.getpixel((x, y)))
        for y in range(SIDE[1])
    )
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *SIDE, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def interlaced(picture):
    """A PNG in seven passes (Adam7)."""
    data = b""
    for left, top, across, down in PASSES:
        for y in range(top, SIDE[1], down):
            line = [picture.getpixel((x, y)) for x in range(left, SIDE[0], across)]
            if line:
                data += b"\0" + bytes(value for pixel in line for value in pixel)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *SIDE, 8, 2, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def main():
    picture = face()
    few = picture.quantize(16)
    drawn = few.convert("RGB")
    other = Image.new("RGB", SIDE, (10, 200, 10))
    save = lambda image, name, **options: image.save(HERE / name, **options)

    # The reference has 16 colors, so that palettes are exact.
    save(drawn, "face.png")
    save(few, "palette.png", bits=4)
    save(drawn.quantize(256), "palette-8-bit.png")
    save(drawn.convert("L"), "gray.png")
    save(drawn.convert("L").point(lambda value: 255 * (value > 127)).convert("1"), "one-bit.png")
    (HERE / "16-bit.png").write_bytes(sixteen_bit(drawn))
    (HERE / "interlaced.png").write_bytes(interlaced(drawn))
    save(drawn, "animated.png", save_all=True, append_images=[other], duration=100)
    alpha = drawn.convert("RGBA")
    alpha.putpixel((0, 0), (0, 0, 0, 0))
    save(alpha, "alpha.png")

    save(drawn, "lossy-baseline.jpg", quality=95, subsampling=0)
    save(drawn, "lossy-progressive.jpg", quality=95, subsampling=0, progressive=True)
    save(drawn.convert("L"), "lossy-gray.jpg", quality=95)
    save(drawn.convert("CMYK"), "lossy-cmyk.jpg", quality=95)
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    for orientation in turns:
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = drawn.transpose(undo[orientation])
        save(stored, f"lossy-orientation-{orientation}.jpg", quality=95, subsampling=0, exif=exif)

    save(few, "palette.gif")
    save(drawn.quantize(64), "animated.gif", save_all=True, append_images=[other], duration=100)
    save(drawn, "lossless.webp", lossless=True)
    save(drawn, "lossy.webp", quality=95)
    save(drawn, "animated.webp", lossless=True, save_all=True, append_images=[other], duration=100)

    save(drawn, "rgb.bmp")
    save(few, "palette.bmp")
    save(drawn, "rgb.tiff")
    save(drawn.convert("L"), "gray.tiff")
    save(drawn.quantize(256), "palette.tiff")
    save(drawn.quantize(256), "palette-lzw.tiff", compression="tiff_lzw")
    save(Image.frombytes("I;16", SIDE, b"".join(struct.pack("<H", 257 * v) for v in drawn.convert("L").tobytes())),
         "gray-16-bit.tiff")
    save(drawn, "lzw.tiff", compression="tiff_lzw")
    save(drawn, "deflate.tiff", compression="tiff_adobe_deflate")
    save(drawn, "packbits.tiff", compression="packbits")
    save(drawn, "lossy-jpeg.tiff", compression="jpeg", quality=95)
    save(drawn, "pages.tiff", save_all=True, append_images=[other])

    save(drawn, "rgb.ppm")
    save(drawn.convert("L"), "gray.pgm")
    save(drawn, "rgb.qoi")
    save(drawn, "icon.ico", sizes=[SIDE])


main()
