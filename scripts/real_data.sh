#!/usr/bin/env bash
# The record of benchmarks/real_data_cpu.md: four models on the real data, and their table.
#   scripts/real_data.sh IMAGES WEIGHTS OUT
# IMAGES: the Nickparvar folder (Training/, Testing/).  WEIGHTS: mobilenetv2_035 on ImageNet,
# .safetensors with its .json.  OUT: a folder for the runs.
set -euo pipefail
images=$1 weights=$2 out=$3
for model in mobilenetv2_035_mhsa mobilenetv2_035 mobilenetv2_035_se mobilenetv2_035_cbam; do
  bt-train data=folder data.root="$images" model="$model" \
    model.backbone.weights="$weights" run_dir="$out/$model"
done
bt-compare "runs=[$out/*]" run_dir="$out/comparison"
