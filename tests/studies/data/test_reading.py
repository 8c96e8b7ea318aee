"""Files of 16 bits, and data that were prepared by a version that read some of them otherwise."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from studies.data import images, load, reading
from studies.data.image_files import ImageFiles

pytestmark = pytest.mark.once


def decode(*arguments, **options) -> np.ndarray:
    return images.decode(*arguments, **options).pixels


def of_16_bits(values, colour=0, transparent=()):
    """A PNG, written out: colour 0 is grey and 2 is RGB; with one transparent colour."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + check

    height, width = values.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    key = chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)) if transparent else b""
    body = chunk(b"IHDR", head) + key + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(values, big):
    """A grey TIFF of 16 bits in either order of bytes, as microscopes write them."""
    order, (height, width) = ">" if big else "<", values.shape
    data = values.astype(f"{order}u2").tobytes()
    short, long, start = 3, 4, 8 + 2 + 9 * 12 + 4
    fields = [(256, short, width), (257, short, height), (258, short, 16), (259, short, 1)]
    fields += [(262, short, 1), (273, long, start), (277, short, 1), (278, short, height)]
    fields += [(279, long, len(data))]
    head = (b"MM" if big else b"II") + struct.pack(f"{order}HIH", 42, 8, len(fields))
    for tag, kind, value in fields:
        form = "HHIHxx" if kind == short else "HHII"
        head += struct.pack(order + form, tag, kind, 1, value)
    return head + struct.pack(f"{order}I", 0) + data


def test_numbers_are_averaged_whatever_the_order_of_their_bytes():
    ramp = np.linspace(0, 60000, 64).astype(np.uint16)[:, None].repeat(64, axis=1)
    for fit in images.FITS:
        big, little = (decode(tiff(ramp, big), "x", (8, 8), 1, fit) for big in (True, False))
        assert big.tolist() == little.tolist()
    means = ramp.reshape(8, 8, 64).mean((1, 2)) / 257  # of eight rows, but for those at the edges
    assert np.abs(big[1:-1, 0, 0] - means[1:-1]).max() < 0.6
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = io.BytesIO()
    Image.open(io.BytesIO(tiff(ramp, True))).save(turned, "TIFF", exif=exif)
    assert decode(turned.getvalue(), "x", (8, 8), 1).tolist() == big[::-1].tolist()


def test_a_transparent_colour_of_16_bits_lies_on_white():
    grey = np.array([[0, 257 * 100, 257 * 100 + 1, 65535]], np.uint16)
    seen = decode(of_16_bits(grey, transparent=(257 * 100,)), "x", None, 1)
    assert seen[0, :, 0].tolist() == [0, 255, 100, 255]
    half = np.array([[0, 0, 257, 257], [0, 0, 257, 257]], np.uint16)
    seen = decode(of_16_bits(half, transparent=(0,)), "x", (1, 1), 1, fit="squash")
    assert 120 <= seen.item() <= 136  # half of it is white, and half of it black
    colours = np.array([[[0x1234, 0x5678, 0x9ABC], [0x3400, 0x7800, 0xBC00]]], np.uint16)
    seen = decode(of_16_bits(colours, 2, (0x1234, 0x5678, 0x9ABC)), "x", None)
    assert seen[0].tolist() == [[255] * 3, [0x34, 0x78, 0xBC]]
    assert decode(of_16_bits(colours, 2), "x", None)[0, 0].tolist() == [0x12, 0x56, 0x9A]


def prepared(folder, cache):
    data = load(f"folder:{folder}", 4, cache=cache)
    return data.info.fingerprint, data.folder, data.pools["train"].images[:]


@pytest.mark.parametrize(
    "content",
    [
        lambda values: tiff(values, True),
        lambda values: of_16_bits(values, transparent=(1,)),
        lambda values: of_16_bits(values[..., None].repeat(3, 2), 2, (1, 2, 3)),
    ],
    ids=["order of bytes", "transparent grey", "transparent colour"],
)
def test_data_with_files_that_earlier_versions_read_otherwise_are_prepared_anew(
    content, tmp_path, rng, monkeypatch
):
    for label in "ab":
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(6):
            values = rng.integers(0, 65536, (8, 8)).astype(np.uint16)
            (tmp_path / "images" / label / f"{number}.tif").write_bytes(tiff(values, False))
            path = tmp_path / "images" / label / f"{number}.png"
            path.write_bytes(of_16_bits(values))

    def of_an_earlier_version():
        """Prepare it with a stripe that is not in the images, and without a note of the version."""
        read = ImageFiles.read

        def misread(self, split, index):
            found = read(self, split, index)
            pixels = found.pixels.copy()
            pixels[0] = 7
            return found._replace(pixels=pixels)

        with monkeypatch.context() as patch:
            patch.setattr(ImageFiles, "read", misread)
            fingerprint, folder, pixels = prepared(tmp_path / "images", tmp_path / "cache")
        assert (pixels[:, 0] == 7).all()
        info = json.loads((folder / "info.json").read_text())
        del info["read"]
        (folder / "info.json").write_text(json.dumps(info))
        return fingerprint

    early = of_an_earlier_version()
    looked = []
    differs = reading._differs
    monkeypatch.setattr(reading, "_differs", lambda file: (looked.append(file), differs(file))[1])
    for _ in range(2):  # no such files: what is there stays, and is looked through once
        assert prepared(tmp_path / "images", tmp_path / "cache")[0] == early
    assert len(looked) == 24
    values = rng.integers(0, 65536, (8, 8)).astype(np.uint16)
    (tmp_path / "images" / "a" / "0.png").write_bytes(content(values))
    early = of_an_earlier_version()
    late = prepared(tmp_path / "images", tmp_path / "cache")
    assert late[0] != early and not (late[2][:, 0] == 7).all()
    monkeypatch.setattr(ImageFiles, "read", None)  # it is not prepared again
    assert prepared(tmp_path / "images", tmp_path / "cache")[0] == late[0]
