#!/usr/bin/env bash
# The record of benchmarks/recipes.md: the field's five recipes at full length, on two splits.
#   scripts/recipes.sh IMAGES WEIGHTS OUT [RECIPE...]
# IMAGES: the Nickparvar folder (Training/, Testing/).  WEIGHTS: mobilenetv2_035 on ImageNet,
# .safetensors with its .json; it stands in for the recipes' own networks.  OUT: a folder for the
# runs; what is complete there is left, what was cut off goes on.  jobs=N: so many at a time.
set -uo pipefail
images=$1 weights=$2 out=$3
shift 3
recipes=${*:-attention_scratch cnn_vs_mobilenet_baseline cnn_vs_mobilenet attention_transfer
  binary_transfer resnet50_two_phase}
mkdir -p "$out"

run() {  # RECIPE SPLIT
  local folder=$out/$1_$2 begun=$EPOCHREALTIME model=()
  case $1 in
    attention_transfer) model=(model=mobilenetv2_035_mhsa) ;;
    cnn_vs_mobilenet | binary_transfer | resnet50_two_phase) model=(model=mobilenetv2_035) ;;
  esac
  [ -z "${model[*]}" ] || model+=(model.backbone.weights="$weights")
  if [ -f "$folder/eval/test/report.html" ]; then
    return
  elif [ -f "$folder/config.yaml" ]; then
    bt-train resume="$folder"
  else
    bt-train experiment="$1" "${model[@]}" data=folder data.root="$images" split="$2" \
      train.tensorboard=false run_dir="$folder" ${extra:-}
  fi >>"$folder.log" 2>&1
  local code=$?
  awk -v n="$1 $2" -v c=$code -v a="$begun" -v b="$EPOCHREALTIME" \
    'BEGIN {printf "%-36s exit %d  %6.0f s\n", n, c, b - a}' | tee -a "$out/times.txt"
}

for recipe in $recipes; do
  for split in official grouped; do
    while [ "$(jobs -rp | wc -l)" -ge "${jobs:-1}" ]; do wait -n; done
    run "$recipe" "$split" &
  done
done
wait
