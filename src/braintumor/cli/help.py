"""What `--help` prints: usage first, then what can be chosen, from the folders of YAML files.

Hydra's own help page (`--hydra-help` for its flags) would take seconds: it reads every config.
"""

from __future__ import annotations

from braintumor.config import config_dir, options_of

_USAGE = {
    "train": """bt-train: scan, audit, split, train, evaluate the best checkpoint once on test.

  bt-train                                              a demo on generated slices, in minutes
  bt-train data=folder data.root=DIR model=resnet50_cbam
  bt-train -m data=folder data.root=DIR model=mobilenet_mhsa,resnet50_cbam seed=0,1,2
  bt-train data=folder data.root=DIR split=grouped folds=5        every image tested once
  bt-train resume=runs/RUN                              go on with an interrupted run""",
    "eval": """bt-eval: evaluate a checkpoint on its own data set or on any other.

  bt-eval ckpt=runs/RUN
  bt-eval ckpt=runs/RUN data=folder data.root=DIR split=all
  bt-eval 'ckpt=[runs/A,runs/B]' 'on=[DIR,FILE.npz]'    a matrix of models and data sets""",
    "predict": """bt-predict: classify pictures that have no labels.

  bt-predict ckpt=runs/RUN input=DIR""",
    "data": """bt-data: scan, audit, split and explore a data set, without training.

  bt-data data=folder data.root=DIR
  bt-data data=folder data.root=DIR probe=true          also scores of simple rules
  bt-data cache=size                                    what is kept for later runs; cache=clear""",
    "compare": """bt-compare: finished runs side by side.

  bt-compare 'runs=[runs/A,runs/B]'
  bt-compare 'runs=[multirun/SWEEP]'                    ranked by validation
  bt-compare 'runs=[runs/A,runs/B]' different_images=true   side by side, without ranking""",
    "tune": """bt-tune: search for better settings of bt-train, judged on validation.

  bt-tune data=folder data.root=DIR model=resnet50_cbam
  bt-tune data=folder data.root=DIR experiment=attention_transfer tune.trials=50 tune.workers=4
  bt-tune 'tune.space={optimizer.lr: "log 1e-5..1e-2", model: [cnn, cnn_se]}'
  the same command again continues the search; tune.final=true then trains the best""",
}
_OF_TRAINING = [
    "data", "augment", "optimizer", "scheduler", "loss", "tracker", "experiment", "debug",
]  # fmt: skip
_GROUPS = {"train": _OF_TRAINING, "tune": _OF_TRAINING, "eval": ["data"], "data": ["data"]}


def help_text(command: str) -> str:
    """The help page of bt-<command>."""
    lines = [_USAGE[command], ""]
    if command in _GROUPS:
        lines.append("Choose with GROUP=OPTION:")
    if command in ("train", "tune"):
        lines += [
            "  model       BACKBONE or BACKBONE_ATTENTION, such as mobilenet_mhsa",
            f"    BACKBONE  {', '.join(options_of('model/backbone'))}",
            f"    ATTENTION {', '.join(options_of('model/attention'))}",
        ]
    lines += [f"  {g:<11} {', '.join(options_of(g))}" for g in _GROUPS.get(command, [])]
    lines += [
        "",
        "Set anything with SECTION.KEY=VALUE, such as optimizer.lr=1e-4.",
        f"  bt-{command} --cfg job         all settings with their values",
        f"  bt-{command} -m KEY=A,B,C      a sweep over values",
        f"  bt-{command} --hydra-help      flags, shell completion",
        f"What each setting means stands beside its default in {config_dir()}",
    ]
    return "\n".join(lines)
