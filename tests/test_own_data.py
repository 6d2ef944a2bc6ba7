"""Data of one's own: in each situation the right images come, or a word that says what to do.

SITUATIONS is the table: what came, and what happens. A new kind of trouble is a new row.
"""

import dataclasses
import io
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from vae_course import data
from vae_course.data import DataError, load_array, load_folder, load_table
from vae_course.data.splits import near_duplicates, split_rows


def assert_says(error, *parts):
    """A message that can be read at a glance and that holds these words."""
    message = str(error.value)
    assert len(message) < 400 and "\n" not in message, message
    for part in parts:
        assert part in message, message


PARTS = ("train", "validation", "test")


def pictures(count, *, size=(12, 10), mode="RGB", seed=0):
    """Pictures of smooth random shapes: (height, width) each, none like another."""
    random = np.random.RandomState(seed)
    bands = len(Image.new(mode, (1, 1)).getbands())
    for _ in range(count):
        rough = random.randint(0, 256, (4, 4, bands)).astype(np.uint8)
        smooth = Image.fromarray(rough.squeeze(), mode if bands > 1 else None)
        yield smooth.resize(size[::-1], Image.Resampling.BICUBIC)


def folder_of(path, count=20, *, ending="png", **kind):
    path.mkdir(parents=True, exist_ok=True)
    for row, picture in enumerate(pictures(count, **kind)):
        picture.save(path / f"{row}.{ending}")
    return path


def everything(made, what="images"):
    return torch.cat([getattr(made, f"{part}_{what}") for part in PARTS])


def images(count=20, *shape, dtype=np.float32, seed=0):
    random = np.random.RandomState(seed)
    values = random.rand(count, *(shape or (1, 8, 8)))
    if np.issubdtype(dtype, np.integer):
        return (values * np.iinfo(dtype).max).astype(dtype)
    return values.astype(dtype)


@dataclasses.dataclass
class Situation:
    came: str
    load: Callable  # tmp_path → the set
    shape: tuple | None = None  # of one image, where it is accepted
    says: tuple[str, ...] = ()  # in the refusal, or in the notes
    check: Callable = lambda made: True
    count: int = 20


SITUATIONS: list[Situation] = []


def situation(came, *, shape=None, says=(), check=lambda made: True, count=20):
    says = (says,) if isinstance(says, str) else says
    return lambda load: SITUATIONS.append(Situation(came, load, shape, says, check, count))


# ----------------------------------------------------------------------------- folders


@situation("colour pictures that are not square", shape=(3, 12, 10))
def _(tmp):
    return load_folder(folder_of(tmp / "in"))


@situation("grey pictures, 1 × 8 bits", shape=(1, 12, 10))
def _(tmp):
    return load_folder(folder_of(tmp / "in", mode="L"))


@situation("grey pictures with transparency", shape=(2, 12, 10))
def _(tmp):
    return load_folder(folder_of(tmp / "in", mode="LA"))


@situation("colour pictures with transparency", shape=(4, 12, 10))
def _(tmp):
    return load_folder(folder_of(tmp / "in", mode="RGBA"))


def _white(made):
    return bool((everything(made)[:, :, 0, 0] == 1).all())


@situation("transparency that is not wanted lies over white", shape=(3, 12, 10), check=_white)
def _(tmp):
    folder = folder_of(tmp / "in", mode="RGBA")
    for file in folder.iterdir():
        picture = Image.open(file)
        picture.putpixel((0, 0), (0, 0, 0, 0))
        picture.save(file)
    return load_folder(folder, channels=3)


@situation("16-bit grey", shape=(1, 12, 10), check=lambda m: everything(m).max() > 0.9)
def _(tmp):
    (tmp / "in").mkdir()
    for row, array in enumerate(images(20, 12, 10, dtype=np.uint16)):
        Image.fromarray(array).save(tmp / "in" / f"{row}.png")
    return load_folder(tmp / "in")


@situation("12 bits stored in 16", shape=(1, 12, 10), says="12 bits stored in 16, pass scale=4095")
def _(tmp):
    (tmp / "in").mkdir()
    for row, array in enumerate(images(20, 12, 10, dtype=np.uint16)):
        Image.fromarray(array // 16).save(tmp / "in" / f"{row}.png")
    return load_folder(tmp / "in")


@situation("12 bits in 16, said", shape=(1, 12, 10), check=lambda m: everything(m).max() > 0.9)
def _(tmp):
    (tmp / "in").mkdir()
    for row, array in enumerate(images(20, 12, 10, dtype=np.uint16)):
        Image.fromarray(array // 16).save(tmp / "in" / f"{row}.tiff")
    return load_folder(tmp / "in", scale=4095)


@situation("8 and 16 bits mixed", says="mix 8 and 16 bits")
def _(tmp):
    folder = folder_of(tmp / "in", mode="L")
    Image.fromarray(images(1, 12, 10, dtype=np.uint16)[0]).save(folder / "deep.png")
    return load_folder(folder)


@situation("black-and-white (1-bit) pictures", shape=(1, 12, 10), check=lambda m: set(
    everything(m).unique().tolist()) == {0.0, 1.0})  # fmt: skip
def _(tmp):
    (tmp / "in").mkdir()
    for row, picture in enumerate(pictures(20, mode="L")):
        picture.point(lambda v: 255 * (v > 127)).convert("1").save(tmp / "in" / f"{row}.png")
    return load_folder(tmp / "in")


@situation("pictures with a palette (GIF)", shape=(3, 12, 10))
def _(tmp):
    return load_folder(folder_of(tmp / "in", ending="gif"))


def _frames(tmp):
    (tmp / "in").mkdir()
    for row in range(20):
        first, second = pictures(2, seed=row)
        first.save(tmp / "in" / f"{row}.gif", save_all=True, append_images=[second])
    return load_folder(tmp / "in")


situation("animations", shape=(3, 12, 10), says="several frames, the first was taken")(_frames)


@situation("CMYK for print (JPEG)", shape=(3, 12, 10))
def _(tmp):
    return load_folder(folder_of(tmp / "in", ending="jpg", mode="CMYK"))


@situation("grey and colour mixed", says=("5 grey", "20 colour", "channels=3"))
def _(tmp):
    folder_of(tmp / "in" / "b", 5, mode="L", seed=1)
    folder_of(tmp / "in" / "a")
    return load_folder(tmp / "in")


@situation("grey and colour mixed, channels said", shape=(3, 12, 10), count=25)
def _(tmp):
    folder_of(tmp / "in" / "b", 5, mode="L", seed=1)
    folder_of(tmp / "in" / "a")
    return load_folder(tmp / "in", channels=3)


@situation("several sizes", says=("2 sizes", "12 × 10 (20)", "size="))
def _(tmp):
    folder_of(tmp / "in" / "a")
    folder_of(tmp / "in" / "b", 5, size=(20, 9), seed=1)
    return load_folder(tmp / "in")


@situation("several sizes, one said", shape=(3, 8, 8), count=25)
def _(tmp):
    folder_of(tmp / "in" / "a")
    folder_of(tmp / "in" / "b", 5, size=(20, 9), seed=1)
    return load_folder(tmp / "in", size=8)


def _top_is_bright(made):
    top, bottom = everything(made)[:, :, 0].mean(), everything(made)[:, :, -1].mean()
    return bool(top > 0.7 and bottom < 0.3)


@situation("turned by the camera (EXIF)", shape=(3, 12, 10), check=_top_is_bright)
def _(tmp):
    (tmp / "in").mkdir()
    for row, picture in enumerate(pictures(20)):
        shade = np.linspace(255, 0, 12)[:, None, None] * np.ones((12, 10, 3))
        upright = Image.blend(Image.fromarray(shade.astype(np.uint8)), picture, 0.2)
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees clockwise when shown
        stored = upright.transpose(Image.Transpose.ROTATE_90)
        stored.save(tmp / "in" / f"{row}.jpg", exif=exif, quality=95)
    return load_folder(tmp / "in")


def _broken(tmp):
    folder = folder_of(tmp / "in", ending="jpg", size=(64, 64))
    cut = folder / "3.jpg"
    cut.write_bytes(cut.read_bytes()[:400])
    (folder / "7.jpg").write_text("<html>not found</html>")
    (folder / "8.jpg").write_bytes(b"")
    return folder


@situation("unreadable files", says=("3 of 20 pictures", "3.jpg", "7.jpg", "skip_unreadable=True"))
def _(tmp):
    return load_folder(_broken(tmp))


@situation("unreadable files, to be skipped", shape=(3, 64, 64), says="3 unreadable", count=17)
def _(tmp):
    return load_folder(_broken(tmp), skip_unreadable=True)


@situation("no picture at all", says=("no picture", "2 × .txt"))
def _(tmp):
    (tmp / "in").mkdir()
    for name in "ab":
        (tmp / "in" / f"{name}.txt").write_text("words")
    return load_folder(tmp / "in")


@situation("a folder that is not there", says="is not there")
def _(tmp):
    return load_folder(tmp / "nowhere")


@situation("a file in place of a folder", says=("is a file", "load_array"))
def _(tmp):
    np.save(tmp / "a.npy", images())
    return load_folder(tmp / "a.npy")


@situation("other files and hidden ones beside the pictures", shape=(3, 12, 10))
def _(tmp):
    folder = folder_of(tmp / "in")
    for name in (".DS_Store", "._0.png", "Thumbs.db", "labels.csv"):
        (folder / name).write_bytes(b"\x00\x01")
    return load_folder(folder)


CATS = ("猫", "Собака", "γάτα", "قطة", "naïve cat")


@situation("class folders with names in five scripts", shape=(3, 12, 10), count=60,
           check=lambda m: set(m.class_names) == set(CATS))  # fmt: skip
def _(tmp):
    for row, name in enumerate(CATS):
        folder_of(tmp / "in" / name, 12, seed=row)
    return load_folder(tmp / "in")


@situation("137 classes", shape=(3, 12, 10), count=411, check=lambda m: (
    m.class_names[2] == "class 2" and len(m.train_labels.unique()) == 137))  # fmt: skip
def _(tmp):
    for row in range(137):
        folder_of(tmp / "in" / f"class {row}", 3, seed=row)
    return load_folder(tmp / "in")


@situation("pictures beside class folders", says=("20 pictures beside", "labels=False"))
def _(tmp):
    folder_of(tmp / "in")
    folder_of(tmp / "in" / "a", seed=1)
    return load_folder(tmp / "in")


@situation("train and test folders keep their split", shape=(3, 12, 10), count=50, check=lambda m: (
    len(m.test_images) == 10 and len(m.validation_images) == 4))  # fmt: skip
def _(tmp):
    for row, (part, count) in enumerate((("train", 20), ("test", 5))):
        for c in "ab":
            folder_of(tmp / "in" / part / c, count, seed=10 * row + ord(c))
    return load_folder(tmp / "in")


@situation("a test folder with copies of training pictures", shape=(3, 48, 64), count=25,
           says="5 of 7 validation and test images are near-duplicates")  # fmt: skip
def _(tmp):
    folder_of(tmp / "in" / "train", 18, size=(48, 64))
    folder_of(tmp / "in" / "val", 2, seed=1, size=(48, 64))
    folder_of(tmp / "in" / "test", 5, ending="jpg", size=(48, 64))
    return load_folder(tmp / "in")


@situation("two pictures for three parts", says="can't be split into 3 parts")
def _(tmp):
    return load_folder(folder_of(tmp / "in", 2))


# ----------------------------------------------------------------------------- arrays


@situation("channels last (.npy)", shape=(3, 8, 6))
def _(tmp):
    np.save(tmp / "a.npy", images(20, 8, 6, 3, dtype=np.uint8))
    return load_array(tmp / "a.npy")


@situation("channels first (.npy)", shape=(3, 8, 6))
def _(tmp):
    np.save(tmp / "a.npy", images(20, 3, 8, 6, dtype=np.uint8))
    return load_array(tmp / "a.npy")


@situation(
    "both readings of the axes are possible",
    says=("3 channels of 8 × 4 (channels first)", "4 channels of 3 × 8 (channels last)", "layout="),
)
def _(tmp):
    return load_array(images(20, 3, 8, 4))


@situation("both readings are possible, one said", shape=(4, 3, 8))
def _(tmp):
    return load_array(images(20, 3, 8, 4), layout="channels last")


@situation("seven channels", says="neither reading has 1 to 4 channels")
def _(tmp):
    return load_array(images(20, 7, 8, 8))


@situation("grey without an axis of channels", shape=(1, 8, 6))
def _(tmp):
    return load_array(images(20, 8, 6))


@situation("one colour picture", says="one image of (32, 32) with 3 channels")
def _(tmp):
    return load_array(images(32, 32, 3))


@situation("rows of joined pixels", says=("reshape(-1, 8, 8)", "load_table"))
def _(tmp):
    return load_array(images(20, 64))


@situation(".npz as it is often published", shape=(1, 8, 8), count=30, check=lambda m: (
    len(m.test_images) == 10 and m.class_names == ("0", "1", "2")))  # fmt: skip
def _(tmp):
    x, y = images(30, 8, 8, dtype=np.uint8), np.arange(30) % 3
    np.savez(tmp / "a.npz", x_train=x[:20], y_train=y[:20], x_test=x[20:], y_test=y[20:])
    return load_array(tmp / "a.npz")


@situation(".npz with several arrays", says=("left (20, 1, 8, 8)", "key="))
def _(tmp):
    np.savez(tmp / "a.npz", left=images(), right=images())
    return load_array(tmp / "a.npz")


@situation(".npz with several arrays, one said", shape=(1, 8, 8))
def _(tmp):
    np.savez(tmp / "a.npz", left=images(), right=images())
    return load_array(tmp / "a.npz", key="right")


@situation("Python objects in a .npy file", says="Python objects")
def _(tmp):
    ragged = np.empty(2, dtype=object)
    ragged[:] = [images(1)[0], images(2)]
    np.save(tmp / "a.npy", ragged)
    return load_array(tmp / "a.npy")


@situation("a .npy file cut short", says=("can't be read", ".npy"))
def _(tmp):
    buffer = io.BytesIO()
    np.save(buffer, images())
    (tmp / "a.npy").write_bytes(buffer.getvalue()[:300])
    return load_array(tmp / "a.npy")


@situation("floats from 0 to 255", says=("0", "255", "divide by 255", "scale=255"))
def _(tmp):
    return load_array(images() * 255)


@situation("floats from 0 to 255, scale said", shape=(1, 8, 8))
def _(tmp):
    return load_array(images() * 255, scale=255)


@situation("int64 from 0 to 255", says=("whole numbers (int64)", "divides by 255"))
def _(tmp):
    return load_array(images(dtype=np.uint8).astype(np.int64))


@situation("int32 with 16 bits", says=("whole numbers (int32)", "divides by 65535"))
def _(tmp):
    return load_array(images(dtype=np.uint16).astype(np.int32))


@situation("moved to [−1, 1]", says="(x + 1) / 2")
def _(tmp):
    return load_array(images() * 2 - 1)


@situation("normalised with mean and standard deviation", says="x * std + mean")
def _(tmp):
    return load_array((images() - 0.13) / 0.31)


@situation("values that are no pixels", shape=(1, 8, 8), check=lambda m: everything(m).min() < -9)
def _(tmp):
    return load_array(images() * 80 - 40, scale="keep")


for width in (np.float16, np.float64):

    @situation(f"{width.__name__}", shape=(1, 8, 8))
    def _(tmp, width=width):
        return load_array(images(dtype=width))


@situation("bfloat16 tensor", shape=(1, 8, 8))
def _(tmp):
    return load_array(torch.from_numpy(images()).bfloat16())


@situation("truth values", shape=(1, 8, 8), check=lambda m: len(everything(m).unique()) == 2)
def _(tmp):
    return load_array(images() > 0.5)


@situation("NaN in some images", says=("4 NaN", "in 2 of 20 rows", "the first in row 7"))
def _(tmp):
    array = images()
    array[7, 0, :3], array[7, 0, 1:] = np.nan, 0.5
    array[7, 0, 0] = 0.5
    array[7, 0, 0, :2], array[9, 0, 0, :2] = np.nan, np.nan
    return load_array(array)


@situation("infinity in the test images", says=("test images of", "1 infinity", "in row 3"))
def _(tmp):
    test = images(10, seed=1)
    test[3, 0, 0, 0] = np.inf
    np.savez(tmp / "a.npz", x_train=images(), x_test=test)
    return load_array(tmp / "a.npz")


@situation("complex numbers", says="complex")
def _(tmp):
    return load_array(images() + 1j)


@situation("labels of another length", says=("labels", "(19,)", "20 images"))
def _(tmp):
    return load_array(images(), np.zeros(19, int))


@situation("one-hot labels", says="argmax(1)")
def _(tmp):
    return load_array(images(), np.eye(20)[:, :4])


@situation("labels are names", shape=(1, 8, 8),
           check=lambda m: m.class_names == ("Kätzchen", "小猫"))  # fmt: skip
def _(tmp):
    return load_array(images(), ["小猫", "Kätzchen"] * 10)


@situation("images of several sizes in a list", says="different sizes")
def _(tmp):
    return load_array([images(1)[0], images(1, 1, 9, 9)[0]])


@situation("nothing in it", says="there is nothing in it")
def _(tmp):
    return load_array(images(0, 1, 8, 8))


@situation("a film", says="films or volumes")
def _(tmp):
    return load_array(images(4, 5, 3, 8, 8))


@situation("16 bits in a .npy file, channels last", shape=(3, 8, 6), check=lambda m: (
    0.9 < everything(m).max() <= 1))  # fmt: skip
def _(tmp):
    np.save(tmp / "a.npy", images(20, 8, 6, 3, dtype=np.uint16))
    return load_array(tmp / "a.npy")


@situation("bytes of the other byte order (16 bits, >u2)", shape=(1, 8, 8), check=lambda m: (
    0.9 < everything(m).max() <= 1))  # fmt: skip
def _(tmp):
    return load_array(images(dtype=np.uint16).astype(">u2"))


@situation("square pictures of 4 × 4 and 4 channels", says="both readings are possible")
def _(tmp):
    return load_array(images(20, 4, 4, 4))


@situation("an array of pandas' nullable or object numbers", says="object")
def _(tmp):
    return load_array(images().astype(object))


@situation("one picture in place of an array", says=("one picture", "load_folder"))
def _(tmp):
    folder_of(tmp / "in")
    return load_array(tmp / "in" / "3.png")


@situation("an archive in place of an array", says=("archive", "unpack"))
def _(tmp):
    import shutil

    return load_array(shutil.make_archive(str(tmp / "all"), "zip", folder_of(tmp / "in")))


for turn in range(1, 9):

    @situation(f"EXIF orientation {turn}", shape=(3, 12, 10), check=_top_is_bright)
    def _(tmp, turn=turn):
        back = {
            1: None, 2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
            6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270",
        }[turn]  # fmt: skip
        (tmp / "in").mkdir()
        for row, picture in enumerate(pictures(20)):
            shade = np.linspace(255, 0, 12)[:, None, None] * np.ones((12, 10, 3))
            stored = Image.blend(Image.fromarray(shade.astype(np.uint8)), picture, 0.2)
            if back is not None:
                stored = stored.transpose(Image.Transpose[back])
            exif = Image.Exif()
            exif[0x0112] = turn
            stored.save(tmp / "in" / f"{row}.png", exif=exif)
        return load_folder(tmp / "in")


@situation("32-bit fractions in TIFF files", shape=(1, 12, 10))
def _(tmp):
    (tmp / "in").mkdir()
    for row, array in enumerate(images(20, 12, 10)):
        Image.fromarray(array).save(tmp / "in" / f"{row}.tif")
    return load_folder(tmp / "in")


@situation("files without an ending", says="no picture")
def _(tmp):
    folder = folder_of(tmp / "in", 5)
    for file in folder.iterdir():
        file.rename(file.with_suffix(""))
    return load_folder(folder)


@situation("endings in capitals, a picture that is another format than it says", shape=(3, 12, 10))
def _(tmp):
    folder = folder_of(tmp / "in", ending="JPG")
    (folder / "3.JPG").rename(folder / "3.PNG")
    return load_folder(folder)


@situation("a class folder that is empty", shape=(3, 12, 10), count=20, check=lambda m: (
    m.class_names == ("a",)))  # fmt: skip
def _(tmp):
    folder_of(tmp / "in" / "a")
    (tmp / "in" / "b").mkdir()
    return load_folder(tmp / "in")


@situation("the same pictures twice, under other names and formats", shape=(3, 48, 64), count=40,
           says="40 pictures have near-duplicates")  # fmt: skip
def _(tmp):
    folder_of(tmp / "in", size=(48, 64))
    folder_of(tmp / "in", ending="jpg", size=(48, 64))
    return load_folder(tmp / "in")


@situation("groups stay together", shape=(1, 8, 8), count=40, check=lambda m: len(
    set((everything(m)[: len(m.train_images), 0, 0, 0] * 8).long().tolist())
    & set((m.test_images[:, 0, 0, 0] * 8).long().tolist())) == 0)  # fmt: skip
def _(tmp):
    array, people = images(40), np.arange(40) % 8
    array[:, 0, 0, 0] = (people + 0.5) / 8
    return load_array(array, groups=people, test=0.25)


def image_situation(tried, tmp_path):
    """What happened, in words. Raises: AssertionError where it is not what should have."""
    if tried.shape is None:
        with pytest.raises((DataError, ValueError)) as error:
            tried.load(tmp_path)
        assert_says(error, *tried.says)
        return str(error.value)
    made = tried.load(tmp_path)
    whole = everything(made)
    assert made.image_shape == tried.shape
    assert whole.dtype == torch.float32 and whole.isfinite().all()
    assert len(whole) == len(everything(made, "labels")) == tried.count
    assert all(len(getattr(made, f"{part}_images")) for part in PARTS)
    assert tried.check(made)
    for words in tried.says:
        assert words in " ".join(made.notes) and words in repr(made)
    return in_words(made, "images", "×".join(map(str, made.image_shape)))


def in_words(made, what, size):
    counts = " + ".join(str(len(getattr(made, f"{part}_{what}"))) for part in PARTS)
    classes = "" if len(made.class_names) == 1 else f", {len(made.class_names)} classes"
    return "; ".join([f"{counts} {what} of {size}{classes}", *made.notes])


@pytest.mark.parametrize("tried", SITUATIONS, ids=lambda s: s.came)
def test_own_images_come_right_or_are_refused(tried, tmp_path):
    assert image_situation(tried, tmp_path)


# ----------------------------------------------------------------------------- tables


def table(rows=40, **columns):
    random = np.random.RandomState(0)
    made = {"length": random.randn(rows) * 3 + 170, "age": random.randint(1, 90, rows)}
    return pd.DataFrame(made | columns)


TABLES = {
    "a DataFrame": (lambda tmp: load_table(table()), ("2 numbers",)),
    "a CSV file with commas": (lambda tmp: _csv(tmp, sep=","), ("2 numbers",)),
    "a CSV file with semicolons and decimal commas": (
        lambda tmp: _csv(tmp, sep=";", decimal=","), ("2 numbers",)),
    "a file with tabs and a byte-order mark": (
        lambda tmp: _csv(tmp, sep="\t", encoding="utf-8-sig"), ("2 numbers",)),
    "words become categories": (
        lambda tmp: load_table(table(city=["Oslo", "Kraków", "東京", "Lima"] * 10)),
        ("1 categories",)),
    "counts": (lambda tmp: load_table(table(), counts=["age"]), ("1 counts",)),
    "codes of categories": (
        lambda tmp: load_table(table(code=[3, 7] * 20), categories=["code"]), ("1 categories",)),
    "a column of classes": (
        lambda tmp: load_table(table(kind=["a", "b"] * 20), label="kind"), ("2 classes",)),
    "a constant column": (lambda tmp: load_table(table(k=1.0)), ("'k' is constant",)),
    "a column of row numbers": (
        lambda tmp: load_table(table(nr=np.arange(40))), ("'nr' counts the rows",)),
    "equal rows": (
        lambda tmp: load_table(pd.concat([table(), table()[:5]])), ("5 rows are copies",)),
    "gaps, to be left out": (
        lambda tmp: load_table(table(gap=[1.5, None] + [2.5] * 38), missing="drop"),
        ("1 of 40 rows",)),
}  # fmt: skip
REFUSED_TABLES = {
    "gaps": (lambda tmp: load_table(table(gap=[1.5, None] + [2.5] * 38)),
             ("1 in 'gap' (first in row 1)", "missing='drop'")),
    "infinity": (lambda tmp: load_table(table(gap=[1.5, np.inf] + [2.5] * 38)),
                 ("1 infinities", "row 1")),
    "names of people": (lambda tmp: load_table(table(60, name=[f"p{n}" for n in range(60)])),
                        ("60 different texts", "drop=['name']")),
    "dates": (lambda tmp: load_table(table(day=pd.date_range("2020", periods=40))), ("dates",)),
    "negative counts": (lambda tmp: load_table(table(c=[-1.0] * 40), counts=["c"]), ("no counts",)),
    "a column that is not there": (
        lambda tmp: load_table(table(), label="sex"), ("no column 'sex'",)),
    "no names of columns": (lambda tmp: _csv(tmp, header=False), ("no names of columns",)),
    "a spreadsheet": (lambda tmp: load_table(tmp / "a.xlsx"), ("as CSV",)),
    "Latin letters of another encoding": (
        lambda tmp: _csv(tmp, table(city=["Málaga"] * 40), encoding="cp1252"), ("not in UTF-8",)),
    "an empty file": (lambda tmp: _csv(tmp, pd.DataFrame()), ("empty",)),
    "no file": (lambda tmp: load_table(tmp / "no.csv"), ("is not there",)),
    "two rows": (lambda tmp: load_table(table(2)), ("can't be split",)),
}  # fmt: skip


def _csv(tmp, made=None, **how):
    made = table() if made is None else made
    made.to_csv(tmp / "a.csv", index=False, **how)
    return load_table(tmp / "a.csv")


def table_situation(came, tmp_path):
    """What happened, in words. Raises: AssertionError where it is not what should have."""
    load, says = {**TABLES, **REFUSED_TABLES}[came]
    if came in REFUSED_TABLES:
        with pytest.raises((DataError, ValueError)) as error:
            load(tmp_path)
        assert_says(error, *says)
        return str(error.value)
    made = load(tmp_path)
    for words in says:
        assert words in repr(made)
    assert made.train_rows.dtype == torch.float32
    assert all(len(getattr(made, f"{part}_rows")) for part in PARTS)
    numbers = [i for i, c in enumerate(made.columns) if c.kind == "number"]
    assert everything(made, "rows").isfinite().all()
    assert made.train_rows[:, numbers].mean(dim=0).abs().max() < 1e-4
    assert made.train_rows[:, 0].std(correction=0) == pytest.approx(1, abs=1e-4)
    back = made.restore(everything(made, "rows"))
    assert list(back.columns) == [c.name for c in made.columns]
    assert 150 < back["length"].mean() < 190
    return in_words(made, "rows", f"{len(made.columns)} columns")


@pytest.mark.parametrize("came", [*TABLES, *REFUSED_TABLES])
def test_own_tables_come_right_or_are_refused(came, tmp_path):
    assert table_situation(came, tmp_path)


def test_categories_come_back_by_name():
    cities = ["Oslo", "Kraków", "東京", "Lima"] * 10
    made = load_table(table(city=cities))
    assert set(made.restore(made.test_rows)["city"]) <= set(cities)


# ----------------------------------------------------------------------------- the split


def smooth(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand(count, 3, 5, 5, generator=generator)
    return torch.nn.functional.interpolate(rough, (32, 32), mode="bicubic").clamp(0, 1)


def test_near_duplicates_are_copies_and_not_neighbours():
    first = smooth(200)
    noisy = (first + 0.01 * torch.randn(first.shape)).clamp(0, 1)
    darker = first * 0.7
    smaller = torch.nn.functional.interpolate(first, (24, 24), mode="bilinear", antialias=True)
    smaller = torch.nn.functional.interpolate(smaller, (32, 32), mode="bilinear")
    groups = near_duplicates(torch.cat([first, noisy, darker, smaller])).view(4, 200)
    assert (groups == groups[0]).float().mean() > 0.99
    assert len(groups[0].unique()) == 200
    assert len(near_duplicates(torch.cat([first, first.flip(3)])).unique()) == 400  # as it says


def test_no_near_duplicate_crosses_the_split():
    first = smooth(120)
    copies = torch.cat([first, first * 0.9, (first + 0.005).clamp(0, 1)])
    for seed in range(5):
        made = load_array(copies.numpy(), seed=seed)
        parts = [getattr(made, f"{part}_images") for part in PARTS]
        groups = near_duplicates(torch.cat(parts)).split([len(part) for part in parts])
        train, validation, test = (set(group.tolist()) for group in groups)
        assert not train & validation and not train & test and not validation & test
        assert len(parts[1]) == pytest.approx(36, abs=3)


def test_the_split_is_the_seeds_and_keeps_the_shares_of_classes():
    labels = torch.cat([torch.zeros(300), torch.ones(60), torch.full((9,), 2.0)]).long()
    first = split_rows(369, validation=0.1, test=0.2, seed=3, labels=labels)
    again = split_rows(369, validation=0.1, test=0.2, seed=3, labels=labels)
    other = split_rows(369, validation=0.1, test=0.2, seed=4, labels=labels)
    assert torch.equal(first.test, again.test) and not torch.equal(first.test, other.test)
    assert labels[first.test].bincount().tolist() == [60, 12, 2]
    whole = torch.cat([first.train, first.validation, first.test])
    assert torch.equal(whole.sort().values, torch.arange(369))


def test_likeness_says_nothing_about_pictures_that_all_look_alike():
    dark = 0.5 + 0.001 * torch.rand(60, 1, 16, 16)
    made = load_array(dark.numpy())
    assert "look alike as thumbnails" in made.notes[0]
    assert len(made.test_images) == 6


def test_a_file_name_may_say_what_belongs_together(tmp_path):
    for row, picture in enumerate(pictures(40)):
        (tmp_path / "in").mkdir(exist_ok=True)
        picture.save(tmp_path / "in" / f"person{row % 8}_{row}.png")
    made = load_folder(tmp_path / "in", groups=lambda path: path.stem.split("_")[0], test=0.25)
    assert len(made.test_images) == 10  # two people of five pictures


def test_the_same_folder_gives_the_same_set(tmp_path):
    folder = folder_of(tmp_path / "in")
    assert torch.equal(load_folder(folder).train_images, load_folder(folder).train_images)


# ----------------------------------------------------------------------------- what ships


def test_patches_need_no_download_and_share_no_pixel_across_the_split(tmp_path):
    patches = data.load_patches(images=200)
    assert patches.image_shape == (3, 32, 32)
    assert [len(getattr(patches, f"{part}_images")) for part in PARTS] == [160, 20, 20]
    assert patches.class_names == ("china", "flower") and "CC BY 2.0" in patches.source
    assert torch.equal(patches.train_images, data.load_patches(images=200).train_images)
    folder = data.write_patches(tmp_path / "patches", size=16, images=60)
    back = load_folder(folder)
    assert [len(getattr(back, f"{part}_images")) for part in PARTS] == [48, 6, 6]
    brightness = [
        made.train_images.mean(dim=(1, 2, 3)).sort().values
        for made in (back, data.load_patches(size=16, images=60))
    ]
    torch.testing.assert_close(*brightness)


def test_the_table_that_ships():
    wine = data.load_table_example()
    assert wine.train_rows.shape == (124, 13)
    assert wine.class_names == ("grower 1", "grower 2", "grower 3")
    assert wine.restore(wine.train_rows)["alcohol"].between(10, 16).all()


def test_loading_warns_of_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_folder(folder_of(tmp_path / "in"))
        load_array(images())
        load_table(table())
