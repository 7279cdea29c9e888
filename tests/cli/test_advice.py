"""What is typed wrong is answered by words that do what was meant: pasted, they compose."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from braintumor import __version__
from braintumor.errors import ConfigError
from braintumor.workflows.arguments import check_settings
from braintumor.workflows.compose import compose
from support import Command

MISTAKES = {  # the words of bt-train -> those that the answer gives
    "epochs=30": "train.epochs=30",
    "lr=1e-4": "optimizer.lr=1e-4",
    "batch_size=32": "train.batch_size=32",
    "num_epochs=3": "train.epochs=3",
    "train.lr=3e-4": "optimizer.lr=3e-4",
    "dta.limit=9": "data.limit=9",
    "optimzer.lr=1": "optimizer.lr=1",
    "optimizer.learning_rate=1": "optimizer.lr=1",
    "train.early_stoping.patience=3": "train.early_stopping.patience=3",
    "train.batchsize=3": "train.batch_size=3",
    "scheduler.growth=2": "scheduler=warm_restarts scheduler.growth=2",
    "optimzer=sgd": "optimizer=sgd",
    "modle=cnn": "model=cnn",
    "model/attention=cbm": "model/attention=cbam",
    "data=foldr": "data=folder",
    "seed.x=3": "seed=3",
    "model=vit": "model=timm model.backbone.timm_name=vit_tiny_patch16_224",
    "model=resnet18": "model=timm model.backbone.timm_name=resnet18",
    "model=densenet": "model=timm model.backbone.timm_name=densenet121",
    "model=convnext_tiny_cbam": "model=timm_cbam model.backbone.timm_name=convnext_tiny",
    "model=mobilenetv3": "model=timm model.backbone.timm_name=mobilenetv3_small_050",
    "model/backbone=vit_base": "model/backbone=timm model.backbone.timm_name=vit_base_patch16_224",
    "model=ResNet-50_SE": "model=resnet50_se",
    "model=efficientnet_b0": "model=efficientnetb0",
    "model=mobilnet_mhsa": "model=mobilenet_mhsa",
    "model.backbone.timm_name=resnet18": "model/backbone=timm model.backbone.timm_name=resnet18",
    "data=base": "data=folder data.root=base",
    "data=./My_MRI": "data=folder data.root=./My_MRI",
    "data=base.zip": "data=archive data.root=base.zip",
    "data=my set.npz": "data=npz 'data.root=my set.npz'",
    "data=t.csv": "data=table data.table=t.csv",
    "data.root=base": "data=folder data.root=base",
    "data.root=base.zip": "data=archive data.root=base.zip",
    "data.path=base": "data=folder data.root=base",
    "experiment=demmo": "experiment=demo",
    "demo": "experiment=demo",
    "train.phases[0].epochs=2": "'train.phases=[{epochs: 2, trainable: all}]'",
    "train.phases[0].epochs='2'": "'train.phases=[{epochs: 2, trainable: all}]'",
    "train.phases.0.trainable=head": "'train.phases=[{epochs: 18, trainable: head}]'",
    "model.backbone.widths[1]=9": "'model.backbone.widths=[32,9,128]'",
    "seeds=0,1": "'seeds=[0,1]'",
    "train.phases.epochs=2": "'train.phases=[{epochs: 2, trainable: all}]'",
    "model.backbone.widths=8,9": "'model.backbone.widths=[8,9]'",
    "model=(vgg16": "model=vgg16",
    "model=cnn,": "model=cnn",
    "folds=5,": "folds=5",
    "pretrained=true": "model.backbone.weights=imagenet",
    "TRAIN.EPOCHS=3": "train.epochs=3",
    "optimizer=adamW": "optimizer=adamw",
    "augment=false": "augment=none",
    "freeze=true": "'train.phases=[{epochs: 18, trainable: head}]'",
    "train.seed=1": "seed=1",
    "val_split=0.1": "data.val_fraction=0.1",
    "data_dir=base": "data=folder data.root=base",
    "model: vgg16": "model=vgg16",
    "model==vgg16": "model=vgg16",
    "train..epochs=3": "train.epochs=3",
    "train.early_stopping.patience=none": "train.early_stopping.patience=null",
}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where data sets of every kind are, by name."""
    for name in ("base", "My_MRI"):
        (tmp_path / name / "glioma").mkdir(parents=True)
    for name in ("base.zip", "my set.npz", "t.csv"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def advised(answer: str) -> str:
    """The words after `use`, to the end of their sentence."""
    found = re.search(r"\buse (.*?)(; `bt-\w+ --cfg job` shows all)?$", answer.strip())
    assert found, answer
    return found[1]


@pytest.mark.parametrize("typed", MISTAKES)
def test_the_answer_is_pasted_and_does_what_was_meant(
    bt: Command, places: Path, typed: str
) -> None:
    done = bt("train", typed, "run_dir=/nowhere/x", cwd=places, code=2)
    assert len(done.stderr.splitlines()) == 1
    assert advised(done.stderr) == MISTAKES[typed]
    check_settings("train", compose("train", shlex.split(MISTAKES[typed]), {}).settings)


@pytest.mark.parametrize("typed", [t for t in MISTAKES if "patience" not in t])
def test_python_is_answered_in_python(places: Path, typed: str) -> None:
    with pytest.raises(ConfigError) as refused:
        compose("train", [typed], {})
    words = ast.literal_eval(f"[{advised(str(refused.value))}]")
    assert words == shlex.split(MISTAKES[typed])
    compose("train", words, {})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train data.root=a,b", "for a run with each of them use bt-train -m data.root=a,b"),
        ("train ckpt=x", "`ckpt` is not for bt-train but for bt-eval and bt-predict"),
        ("eval input=x", "not for bt-eval but for bt-predict"),
        ("eval model=cnn", "not for bt-eval but for bt-train"),
        ("data optimizer.lr=1", "not for bt-data but for bt-train"),
        ("data epochs=1", "not for bt-data but for bt-train"),
        ("predict data=folder", "for bt-train, bt-eval, bt-data and bt-tune; leave it out"),
        ("compare runs=a,b", "use 'runs=[a,b]'"),
        ("train --lr=3", "use optimizer.lr=3"),
        ("train --epochs 3", "use train.epochs=3"),
        ("train --data base", "use data=folder data.root=base"),
        ("train --data-root mri", "use data=folder data.root=mri"),
        ("train --data.root mri", "use data=folder data.root=mri"),
        ("train --amp", "use train.precision=auto"),
        ("train --num-workers 4", "read by all processor cores; leave it out"),
        ("train --config a/b.yaml", "use --config-dir=a --config-name=b"),
        ("train num_classes=4", "those that the data set has; leave it out"),
        ("train mixed_precison=x", "`mixed_precison` is not a setting; there are"),
        ("train model=", "has no value"),
        ("train run", "no file or folder"),
        ("train data.image_size=224x224", "should be a whole number, not str"),
        ("train data.image_size=[224,224]", "should be a whole number, not list"),
        ("train --hlep", "did you mean --help?"),
        ("train -v", "bt-train --help shows"),
        ("train --cfg foo", "choose from"),
        ("train data=_common", "there are archive, folder"),
        ("train data=nothing/there", "there is no file or folder of that name"),
        ("train model=qqq", "known are cnn"),
        ("train foo.bar=3", "`foo.bar` is not a setting; there are augment"),
        ("train train.foo=3", "of train there are train.batch_size"),
        ("train ~seedx", "leave it out"),
        ("train =3", "has no key"),
        ("train @x=1", "has no key"),
        ("train data=", "has no value"),
        ("train é=1", "names no setting"),
        ("train train.phases=[{epochs: 2", "brackets"),
        ("train train.phases[0].foo=2", "`train.phases[0].foo` is not an option"),
        ("train train.phases[0]=2", "should hold epochs and trainable"),
        ("train seed=0,1,", "bt-train -m seed=0,1"),
        ("train epochs", "train.epochs=VALUE"),
        ("train experiment", "experiment=attention_scratch|"),
        ("train train.phases[3].epochs=1", "has 1 entry"),
    ],
)
def test_what_has_no_better_words_is_said_in_one_line(
    bt: Command, tmp_path: Path, words: str, said: str
) -> None:
    name, *rest = words.split(maxsplit=1)
    done = bt(name, *(rest[0].split() if "--" in words else rest), cwd=tmp_path, code=2)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not re.search(r"override|_common|_folders|struct|multirun|defaults", (
        done.stderr.replace("data=_common is", "")
    ))  # fmt: skip
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("word", "path", "value"),
    [
        ("+experiment=demo", "data.image_size", 96),
        ("++experiment=demo", "data.image_size", 96),
        ("+debug=tiny", "train.max_epochs", 1),
        ("+seed=4", "seed", 4),
        ("train.early_stopping.patience=None", "train.early_stopping.patience", None),
        ("model.backbone.weights=None", "model.backbone.weights", "none"),
        ("train.epochs=30", "train.epochs", 30),
    ],
)
def test_what_can_mean_one_thing_is_done(word: str, path: str, value: object) -> None:
    found = compose("train", [word], {}).settings
    for key in path.split("."):
        found = found[key]
    assert found == value  # type: ignore[comparison-overlap]


def test_the_version_is_ours(bt: Command, tmp_path: Path) -> None:
    assert bt("eval", "--version", cwd=tmp_path).stdout == f"braintumor {__version__}\n"


def test_names_of_functions_are_said_to_python() -> None:
    with pytest.raises(ConfigError, match=r"not for bt.evaluate but for bt.predict"):
        compose("eval", [], {"input": "x"})
