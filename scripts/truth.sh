#!/usr/bin/env bash
# The record of benchmarks/truth_cpu.md: what a split does to the figure, three seeds each.
#   scripts/truth.sh IMAGES WEIGHTS OUT
# IMAGES: the Nickparvar folder (Training/, Testing/).  WEIGHTS: mobilenetv2_035 on ImageNet,
# .safetensors with its .json.  OUT: a folder for the runs; what is complete there is left.
set -euo pipefail
images=$1 weights=$2 out=$3
here=$(dirname "$0")

run() {  # NAME SETTING...
  local folder=$out/$1
  shift
  if [ -f "$folder/summary.md" ]; then
    return
  elif [ -f "$folder/config.yaml" ]; then
    bt-train resume="$folder"
  else
    bt-train data=folder data.root="$images" model=mobilenetv2_035_mhsa \
      model.backbone.weights="$weights" data.image_size=160 train.max_epochs=12 \
      train.early_stopping.metric=val_macro_f1 eval.views=8 \
      train.tensorboard=false run_dir="$folder" "$@"
  fi
}

run official split=official train.refit=true 'seeds=[0,1,2]'
run official_clean split=official_clean train.refit=true 'seeds=[0,1,2]'
run grouped split=grouped folds=5    # once each: a refit would double five trainings
python "$here/truth_table.py" "$out"
