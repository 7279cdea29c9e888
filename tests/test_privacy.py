"""What outputs tell of who made them: nothing, and what was made can be used all the same."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import ExifTags, Image, PngImagePlugin

from braintumor import privacy
from braintumor.data.manifest import read_manifest
from braintumor.errors import ConfigError
from braintumor.jobs.ends import record_end
from braintumor.privacy import found_again, without_names
from braintumor.runs.folder import RunFolder
from braintumor.workflows.sweep import check_same, list_jobs
from support import Command, cut

pytestmark = pytest.mark.usefixtures("no_drawings")

NAME = "anna_tell_tale"
PATIENT = "DOE^JANE^TELL"
SETTINGS = [
    "data=folder", "data.image_size=32", "model=cnn_se", "model.backbone.widths=[4,8]",
    "train.batch_size=8", "train.epochs=1", "train.phases=[{epochs: 1, trainable: all}]",
    "eval.views=1",
]  # fmt: skip


def texts_of(path: Path) -> Iterator[bytes]:
    """All that somebody finds who opens the file: also members, and texts of a picture."""
    yield path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            yield from (file.read(name) for name in file.namelist())
    if path.suffix == ".png":
        with Image.open(path) as picture:
            picture.load()
            yield repr((picture.info, dict(picture.getexif()))).encode()


def tell(folder: Path, word: str) -> list[str]:
    """The files below the folder that have the word inside."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [
        str(path.relative_to(folder))
        for path in files
        if any(word.encode() in text for text in texts_of(path))
    ]


def pictures_with_identity(folder: Path) -> None:
    """Pictures of two classes whose files say who took them of whom, and where."""
    rng = np.random.default_rng(0)
    for number, (split, count) in enumerate((("Training", 12), ("Testing", 6))):
        for brightness, name in ((0, "no_tumor"), (90, "glioma")):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 120, (32, 32))
                pixels[8:20, 8:20] += brightness
                picture = Image.fromarray(pixels.astype(np.uint8))
                path = folder / split / name / f"{number}{i}"
                exif = picture.getexif()
                exif[ExifTags.Base.Artist] = PATIENT
                exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSAreaInformation] = PATIENT
                if i % 2:
                    text = PngImagePlugin.PngInfo()
                    text.add_text("PatientName", PATIENT)
                    text.add_itxt("dicom:0010,0010", PATIENT, zip=True)
                    picture.save(f"{path}.png", pnginfo=text, exif=exif)
                else:
                    comment = f"(0010,0010) PN {PATIENT}".encode()
                    picture.save(f"{path}.jpg", exif=exif, comment=comment, quality=95)


@pytest.fixture(scope="module")
def home(bt: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with the name of a person, in which a run has been made and used."""
    home = tmp_path_factory.mktemp("homes") / NAME
    work = home / "work"
    pictures_with_identity(work / "mri")
    assert tell(work / "mri", PATIENT)

    def run(name: str, *words: str) -> None:
        bt(name, *words, cwd=work, HOME=str(home), BT_CACHE=str(home / ".cache"), code=0)

    more = [
        "eval.heatmaps=1", "eval.examples=2", "eval.wrong_pictures=20", "train.tensorboard=true",
    ]  # fmt: skip
    run("train", *SETTINGS, *more, f"data.root={work}/mri", f"run_dir={work}/out/run")
    run("predict", f"ckpt={work}/out/run", f"input={work}/mri/Testing", f"run_dir={work}/out/pr",
        "overlays=1")  # fmt: skip
    run("data", "data=folder", f"data.root={work}/mri", f"run_dir={work}/out/data")
    sweep = ["seed=1", f"hydra.sweep.dir={work}/out/sweep", "hydra/launcher=basic"]
    quiet = ["eval.heatmaps=0", "eval.examples=0", "train.tensorboard=false"]
    run("train", "-m", *SETTINGS, *quiet, f"data.root={work}/mri", *sweep)
    runs = f"runs=[{work}/out/run,{work}/out/sweep]"
    run("compare", runs, f"run_dir={work}/out/comparison", "resamples=100")
    return home


def test_no_output_names_the_home_folder(home: Path) -> None:
    assert tell(home / "work/out", NAME) == []
    kept = yaml.safe_load((home / "work/out/run/config.yaml").read_text())
    assert kept["data"]["root"] == "~/work/mri" and kept["run_dir"] == "~/work/out/run"


def test_no_output_has_what_the_pictures_say_beside_their_pixels(home: Path) -> None:
    out = home / "work/out"
    assert tell(out, PATIENT) == []
    assert list(out.glob("run/eval/test/cam/*.png")) and list(out.glob("run/eval/test/wrong/*.png"))
    assert list(out.glob("pr/cam/*.png")) and list(out.glob("data/plots/*.png"))


def test_names_that_were_given_whole_and_reasons_name_nobody(bt: Command, home: Path) -> None:
    """Files one by one, a link that leads nowhere, and the page of a comparison."""
    work = home / "work"
    links = home / "links"
    links.mkdir()
    (links / "nowhere.png").symlink_to(home / "gone.png")
    one, other = (work / f"mri/Testing/glioma/{name}" for name in ("10.jpg", "11.png"))
    words = ["overlays=0", f"ckpt={work}/out/run", f"run_dir={work}/out/listed"]
    words += [f"input=[{one},{other},{links}]", "skip_unreadable=true"]
    bt("predict", *words, cwd=work, HOME=str(home), code=0)
    assert tell(work / "out/listed", NAME) == []
    assert "~/work/mri/Testing" in (work / "out/listed/predictions.csv").read_text()
    page = (work / "out/comparison/comparison.html").read_text()
    assert NAME not in page.replace("<wbr>", "")
    shutil.rmtree(links)


def test_what_a_job_printed_is_kept_without_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a traceback, whose lines are the paths of files."""
    monkeypatch.setenv("HOME", str(tmp_path))
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    output = io.BytesIO(f'File "{tmp_path}/x.py", line 1\n\xff'.encode("latin-1"))
    record_end(run, output, {}, 1, is_interrupt=False)
    assert 'File "~/x.py", line 1' in run.log.read_text()
    assert tell(run.path, str(tmp_path)) == []


def test_dicom_files_are_counted_and_not_told_of(bt: Command, home: Path, tmp_path: Path) -> None:
    """By their kind, whatever their name; under the name of a picture they are refused."""
    shutil.copytree(home / "work/mri", tmp_path / "mri")
    identity = bytes(128) + b"DICM" + f"\x10\0\x10\0PN{PATIENT}".encode()
    for name in ("IM1.dcm", "IM2.dcm"):
        (tmp_path / "mri/Training/glioma" / name).write_bytes(identity)
    words = ["data=folder", f"data.root={tmp_path}/mri", "data.image_size=32"]
    done = bt("data", *words, "run_dir=out", cwd=tmp_path, code=0)
    (ignored,) = (line for line in done.stdout.splitlines() if "dcm" in line)
    assert "(2)" in ignored and "IM1" not in ignored
    assert PATIENT not in done.stdout + done.stderr and tell(tmp_path / "out", PATIENT) == []
    (tmp_path / "mri/Training/glioma/IM3.png").write_bytes(identity)
    done = bt("data", *words, "run_dir=other", cwd=tmp_path, code=2)
    assert "it is a DICOM file" in done.stderr and PATIENT not in done.stderr
    pictures = [f"ckpt={home}/work/out/run", f"input={tmp_path}/mri/Training", "run_dir=pr"]
    done = bt("predict", *pictures, "skip_unreadable=true", "overlays=0", cwd=tmp_path, code=0)
    assert PATIENT not in done.stdout + done.stderr and tell(tmp_path / "pr", PATIENT) == []


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    """The home folder of somebody else, with the same run, cut off."""
    other = tmp_path / "other"
    shutil.copytree(home, other, ignore=shutil.ignore_patterns("sweep", "comparison", "pr", "data"))
    cut(other / "work/out/run", epochs=True)
    return other


def test_a_run_goes_on_wherever_home_and_images_are(bt: Command, copy: Path) -> None:
    run = copy / "work/out/run"
    bt(
        "eval", f"ckpt={run}", "eval.heatmaps=0", "eval.examples=0", cwd=copy, HOME=str(copy),
        code=0,
    )  # fmt: skip
    (copy / "work/mri").rename(copy / "moved")
    done = bt("train", f"resume={run}", cwd=copy, HOME=str(copy), code=2)
    assert "data.root=" in done.stderr
    shutil.rmtree(run / "eval")
    bt("train", f"resume={run}", f"data.root={copy}/moved", cwd=copy, HOME=str(copy), code=0)
    kept = yaml.safe_load((run / "config.yaml").read_text())
    assert kept["data"]["root"] == "~/moved"


def test_a_sweep_is_known_again(bt: Command, home: Path) -> None:
    work = home / "work"
    words = ["-m", *SETTINGS, "eval.heatmaps=0", "eval.examples=0", "train.tensorboard=false"]
    words += [f"data.root={work}/mri", "seed=1", f"hydra.sweep.dir={work}/out/sweep"]
    done = bt("train", *words, "hydra/launcher=basic", cwd=work, HOME=str(home), code=2)
    assert "is complete (" in done.stderr, done.stderr
    done = bt("train", f"resume={work}/out/sweep", cwd=work, HOME=str(home), code=2)
    assert "is complete (" in done.stderr, done.stderr
    (work / "out/sweep/0/status.json").unlink()
    bt("train", f"resume={work}/out/sweep", cwd=work, HOME=str(home), code=0)
    assert tell(work / "out/sweep", NAME) == []


def test_outside_of_the_home_folder_places_are_relative(
    bt: Command, tmp_path: Path, home: Path
) -> None:
    """And found from wherever the run goes on: its environment.json knows where it was begun."""
    work = tmp_path / NAME / "w"
    shutil.copytree(home / "work/mri", work.parent / "mri")
    work.mkdir()
    run, words = work / "out" / "run", [*SETTINGS, "eval.heatmaps=0", "eval.examples=0"]
    words += [f"data.root={work.parent}/mri", f"run_dir={run}"]
    bt("train", *words, cwd=work, code=0)
    assert tell(run, NAME) == []
    assert yaml.safe_load((run / "config.yaml").read_text())["data"]["root"] == "../mri"
    cut(run, epochs=True)
    (tmp_path / "mri").mkdir()
    (tmp_path / "elsewhere").mkdir()  # from where ../mri is another folder
    bt("train", f"resume={run}", cwd=tmp_path / "elsewhere", code=0)
    assert tell(run, NAME) == []
    assert yaml.safe_load((run / "config.yaml").read_text())["data"]["root"] == "../mri"


def test_a_sweep_begun_in_one_folder_is_known_in_another(
    bt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its whole paths are written from where it was begun, and mean what they meant."""
    begun, other, sweep = tmp_path / "a/b", tmp_path / "a/c/d", tmp_path / "sweep"
    for folder in (begun, other, sweep, tmp_path / "mri"):
        folder.mkdir(parents=True)
    words = ["data=folder", f"data.root={tmp_path}/mri", "seed=1,2", f"hydra.sweep.dir={sweep}"]
    bt("train", "-m", *words, "hydra/launcher=basic", cwd=begun)  # no image is there: all jobs fail
    assert "data.root=../../mri" in (sweep / "multirun.yaml").read_text()
    monkeypatch.chdir(other)
    check_same(sweep, words[:3])
    assert list_jobs(sweep)[1].words == ("data=folder", f"data.root={tmp_path}/mri", "seed=2")
    with pytest.raises(ConfigError, match=r"seed=1,2 there, seed=1,3 here"):
        check_same(sweep, [*words[:2], "seed=1,3"])


def test_paths_stay_where_that_is_asked_for(
    bt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    pictures_with_identity(tmp_path / "mri")
    words = ["data=folder", f"data.root={tmp_path}/mri", f"run_dir={tmp_path}/data"]
    for said, expected in {"true": f"{tmp_path}/x", "false": "~/x"}.items():
        bt("data", *words, f"privacy.paths={said}", "overwrite=true", cwd=tmp_path, code=0)
        assert without_names(f"{tmp_path}/x") == expected
        assert str(tmp_path) in (tmp_path / "data/.braintumor").read_text() or said == "false"
    done = bt("train", *SETTINGS, "privacy.paths=3", cwd=tmp_path, code=2)
    assert "privacy.paths" in done.stderr


def test_what_is_replaced_in_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "_here", lambda: ("/home/anna b", "/data/x/work", "carla"))
    for text, expected in {
        "data.root='/home/anna b/mri' x": "data.root='~/mri' x",
        "/home/anna b": "~",
        "/home/anna bell/x": "/home/anna bell/x",
        "/home/anna b-2/x": "/home/anna b-2/x",
        "see /data/x/work/run/a.html, and /data/x/work.": "see run/a.html, and ..",
        "runs=[/data/x/a,/data/y]": "runs=[../a,../../y]",
        "/database/x": "/database/x",
        "/scratch/carla/mri": "/scratch/$USER/mri",
        "/scratch/carla.d/carlas": "/scratch/carla.d/carlas",
        "x/data/x/work/y": "x/data/x/work/y",
        "</carla>": "</carla>",
        "https://e.org/data/x/work/": "https://e.org/data/x/work/",
    }.items():
        assert without_names(text) == expected
    assert without_names({"a": ["/home/anna b/x", 1]}) == {"a": ["~/x", 1]}
    assert found_again("/scratch/$USER/mri", None) == "/scratch/carla/mri"


def test_where_there_is_no_home_and_no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "_here", lambda: ("", "", ""))
    assert without_names("/home/anna/mri") == "/home/anna/mri"
    monkeypatch.undo()
    monkeypatch.setenv("HOME", os.sep)
    assert without_names("/etc/x") == "/etc/x"


def test_names_that_are_formulas_stay_and_are_told(bt: Command, tmp_path: Path) -> None:
    pictures_with_identity(tmp_path / "mri")
    folder = tmp_path / "mri/Training"
    rows = []
    for label in ("glioma", "no_tumor"):
        names = [f"{label}/{path.name}" for path in sorted((folder / label).iterdir())]
        rows += [f"{name},{label}" for name in names]
    for name, label in (("=1+1.png", "glioma"), ("@SUM(1).png", "no_tumor")):
        shutil.copy(folder / label / "01.png", folder / name)
        rows.append(f"{name},{label}")
    (folder / "table.csv").write_text("\n".join(["path,label", *rows]))
    words = ["data=table", f"data.table={folder}/table.csv", f"run_dir={tmp_path}/out"]
    done = bt("data", *words, cwd=tmp_path, code=0)
    assert "2 names that a spreadsheet may run as a formula (such as =1+1.png)" in done.stdout
    assert "=1+1.png" in read_manifest(tmp_path / "out/manifest.csv")["path"].tolist()
    done = bt("data", "data=folder", f"data.root={tmp_path}/mri", cwd=tmp_path)
    assert "formula" not in done.stdout  # where the name of a folder comes first
