"""Labels from a CSV, from CelebA's list and from subfolders, and what is said of damaged ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from lightning_gans.data import CelebA, DataMissing, DataModule, Folder, Gaussians
from lightning_gans.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def write_images(root: Path, names: Sequence[str]) -> None:
    """An image for each name, whose grey level is its number in the order given."""
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), i).save(root / name)


NAMES = ("a.png", "b.png", "sub/c.png", "d.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path / "photos", NAMES)
    return tmp_path / "photos"


def folder(root: Path, text: str | bytes, **options: object) -> Folder:
    """The images with the labels that a file has."""
    path = root.parent / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    given = {"channels": 1, "validation": 0, "labels": str(path), **options}
    return Folder(str(root), 4, **given)  # type: ignore[arg-type]  # by name, as given


def labels(data: DataModule) -> dict[str, list[str] | str]:
    """The names of the classes of each image, as the batches have them."""
    data.setup()
    found: dict[str, list[str] | str] = {}
    assert data.class_names is not None
    for i in range(len(data.train_set)):  # type: ignore[arg-type]  # it has a length
        x, y = data.train_set[i]
        name = NAMES[round(float((x.mean() + 1) * 127.5))]
        rows = [label[int(k)] for label, k in zip(data.class_names, y.reshape(-1), strict=True)]
        found[name] = rows[0] if y.ndim == 0 else rows
    return found


CLASSES = {"a.png": "star", "b.png": "disc", "sub/c.png": "star", "d.png": "red cross"}
WITH_CLASSES = "file,class\na.png,star\nb.png,disc\nsub/c.png,star\nd.png,red cross\n"


@pytest.mark.parametrize(
    "text",
    [
        WITH_CLASSES,
        WITH_CLASSES.removeprefix("file,class\n"),
        WITH_CLASSES.replace(",", ";"),
        WITH_CLASSES.replace(",", "\t"),
        WITH_CLASSES.replace("\n", "\r\n"),
        WITH_CLASSES.encode("utf-8-sig"),
        WITH_CLASSES.removeprefix("file,class\n").encode("utf-8-sig"),
        WITH_CLASSES.encode("utf-16"),
        WITH_CLASSES.replace("sub/", "sub\\"),
        WITH_CLASSES.replace("sub/", ""),
        WITH_CLASSES.replace("sub/", "./sub/"),
        WITH_CLASSES.replace("star", '"star"').replace("\nb", "\n\n , \nb"),
        WITH_CLASSES.replace(",star", ", star "),
        "file,class\n" + "".join(reversed(WITH_CLASSES.splitlines(keepends=True)[1:])),
    ],
)
def test_a_column_of_names_is_a_class_for_each_image(root: Path, text: str | bytes) -> None:
    data = folder(root, text)
    assert data.classes == (3,)
    assert data.class_names == (("disc", "red cross", "star"),)
    assert labels(data) == CLASSES


def test_a_table_without_quotes_may_have_commas_in_its_cells(root: Path) -> None:
    text = WITH_CLASSES.replace(",", ";").replace("red cross", "red, cross")
    assert folder(root, text).class_names == (("disc", "red, cross", "star"),)


ATTRIBUTES = "file,hat,smile\na.png,1,0\nb.png,0,0\nsub/c.png,1,1\nd.png,0,1\n"
CELEBA = "4\nhat smile \na.png  1 -1\nb.png -1 -1\nsub/c.png  1  1\nd.png -1  1\n"


@pytest.mark.parametrize("text", [ATTRIBUTES, ATTRIBUTES.replace(",0", ",-1"), CELEBA])
def test_several_columns_are_attributes(root: Path, text: str) -> None:
    data = folder(root, text)
    assert data.classes == (2, 2)
    assert data.class_names == (("not hat", "hat"), ("not smile", "smile"))
    assert labels(data) == {
        "a.png": ["hat", "not smile"],
        "b.png": ["not hat", "not smile"],
        "sub/c.png": ["hat", "smile"],
        "d.png": ["not hat", "smile"],
    }
    swapped = folder(root, text, label_columns=("smile", "hat"))
    assert labels(swapped)["a.png"] == ["not smile", "hat"]
    one = folder(root, text, label_columns=("smile",))
    assert (one.classes, labels(one)["d.png"]) == ((2,), "smile")


def test_one_of_several_columns_may_have_the_classes(root: Path) -> None:
    text = "name,photographer,class\na.png,Ann,x\nb.png,Bo,y\nc.png,Cy,x\nd.png,Di,y\n"
    assert folder(root, text, label_columns=("class",)).class_names == (("x", "y"),)


def test_names_that_are_numbers_stay_names(root: Path) -> None:
    text = "file,digit\na.png,0\nb.png,1\nsub/c.png,1\nd.png,0\n"
    data = folder(root, text)
    assert data.class_names == (("0", "1"),)
    assert labels(data)["b.png"] == "1"
    assert folder(root, text.replace(",0", ",10").replace(",1\n", ",9\n")).class_names == (
        ("10", "9"),
    )


def test_accents_are_compared_as_they_look(root: Path) -> None:
    """A Mac writes an accent as a letter of its own, in file names and elsewhere."""
    write_images(root, ["e\u0301te\u0301.png"])
    text = WITH_CLASSES + "\u00e9t\u00e9.png,\u00e9toile\n"
    assert folder(root, text).class_names == (("disc", "red cross", "star", "étoile"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; expected a row for each image"),
        ("file,class\n", "no row of an image"),
        (WITH_CLASSES + "a.png,disc\n", "names a.png twice, in lines 2 and 6; leave one row"),
        (WITH_CLASSES + "./a.png,disc\n", "names ./a.png twice, in lines 2 and 6"),
        (WITH_CLASSES + "e.png,disc\n", "rows of .* without an image in .*: 1, the first is e.png"),
        (WITH_CLASSES + "e.png,disc\n", "correct the file, or leave them out with data.on_error"),
        (
            WITH_CLASSES.replace("d.png,red cross\n", ""),
            "images without a row in .*: 1 of 4, the first is d.png",
        ),
        ("file,class\nx.png,1\n", "names no image of these data: its first row is x.png"),
        ("class,file\nstar,a.png\ndisc,b.png\n", "first column must hold the images' names"),
        (WITH_CLASSES.replace("disc", ""), "line 3: the name of the class is empty"),
        (WITH_CLASSES.replace("disc", "disc,1"), "line 3: expected 2 cells, .* got 3"),
        (
            WITH_CLASSES.encode() + b"\xe9.png,x\n",
            "line 6: expected text in UTF-8",
        ),
        (WITH_CLASSES.replace(",", "|"), "separated by commas, semicolons or tabs, got file|class"),
        (WITH_CLASSES.replace("star\n", '"star\n', 1), "line "),
        (b"\x89PNG\r\n\x1a\n\0\0", "expected text in UTF-8"),
        ("file,a\0b\n", "holds zero bytes"),
        (ATTRIBUTES.replace("b.png,0", "b.png,maybe"), "line 3: expected 0 or 1 in the column hat"),
        (ATTRIBUTES.removeprefix("file,hat,smile\n"), "first line must name its 2 attributes"),
        (ATTRIBUTES.replace("smile", "hat"), "two columns 'hat'"),
        (ATTRIBUTES.replace("smile", ""), "leaves column 3 unnamed"),
        (CELEBA.replace("4", "5", 1), "first line says 5 images, and it has 4 rows"),
        (CELEBA.replace("4", "3", 1), "first line says 3 images, and it has 4 rows"),
        (CELEBA.replace("a.png  1", "a.png"), "line 3: expected 3 cells"),
    ],
)
def test_a_damaged_file_is_one_line(root: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        _ = folder(root, text).classes
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_missing_files_and_columns_are_named(root: Path) -> None:
    with pytest.raises(DataMissing, match=r"no file .*nowhere\.csv; data\.labels is the path"):
        _ = Folder(str(root), 4, labels="nowhere.csv").classes
    with pytest.raises(UserError, match="is a folder, expected a file"):
        _ = Folder(str(root), 4, labels=str(root)).classes
    with pytest.raises(UserError, match=r"no column 'simle' \(did you mean 'smile'\?\); its"):
        _ = folder(root, ATTRIBUTES, label_columns=("simle",)).classes
    with pytest.raises(UserError, match="names 'hat' twice"):
        _ = folder(root, ATTRIBUTES, label_columns=("hat", "hat")).classes
    with pytest.raises(ValueError, match=r"columns of a file: set data\.labels to it"):
        Folder(str(root), 4, label_columns=("hat",))


def test_two_images_of_a_name_need_their_folders(root: Path) -> None:
    write_images(root, ["other/c.png"])
    with pytest.raises(UserError, match=r"line 4: 2 images are called c\.png; write .* folders"):
        _ = folder(root, WITH_CLASSES.replace("sub/", "")).classes


def test_a_class_for_each_image_is_no_class(root: Path) -> None:
    names = [f"{i:02}.png" for i in range(12)]
    write_images(root / "many", names)
    rows = "".join(f"{name},caption {name}\n" for name in names)
    with pytest.raises(UserError, match="each of 12 images has a class of its own"):
        _ = folder(root / "many", rows).classes


def test_what_does_not_fit_is_left_out_if_asked(root: Path) -> None:
    text = WITH_CLASSES.replace("d.png,red cross\n", "e.png,star\n")
    data = folder(root, text, on_error="skip")
    with pytest.warns(UserWarning, match="left out"):
        assert labels(data) == {name: CLASSES[name] for name in NAMES[:3]}


def test_held_out_images_have_their_own_labels(root: Path) -> None:
    data = folder(root, WITH_CLASSES, validation=1)
    data.setup()
    _, y = data.validation_set[0]
    # the last by name
    assert int(y) == 2
    assert [int(y) for _, y in (data.train_set[i] for i in range(3))] == [2, 0, 1]


def test_subfolders_and_attributes_of_faces_have_names(tmp_path: Path) -> None:
    write_images(tmp_path, ["3/a.png", "10/b.png", "Red Star/c.png", "étoile\x1b/d.png"])
    data = Folder(str(tmp_path), 4, channels=1, validation=0)
    assert data.class_names == (("10", "3", "Red Star", r"étoile\x1b"),)
    data.setup()
    assert [int(data.train_set[i][1]) for i in range(4)] == [0, 1, 2, 3]
    (tmp_path / "loose").mkdir()
    write_images(tmp_path, ["e.png"])
    loose = Folder(str(tmp_path), 4, validation=0)
    assert (loose.classes, loose.class_names) == ((), None)
    loose.setup()
    assert torch.stack([loose.train_set[i][1] for i in range(5)]).tolist() == [0] * 5
    assert CelebA("x", attributes=("Male", "Bangs")).class_names == (
        ("not Male", "Male"),
        ("not Bangs", "Bangs"),
    )
    assert Gaussians().class_names is None
