#!/usr/bin/env bash
# What only a CUDA device can show: the tests there, whole runs on real images with the time they
# take, and the rows of benchmark.py. On an H100 each section takes two to five minutes.
#   scripts/gpu_check.sh IMAGES WEIGHTS OUT [SECTION...]
# IMAGES: the Nickparvar folder (Training/, Testing/).  WEIGHTS: mobilenetv2_035 on ImageNet,
# .safetensors with its .json.  OUT: a new folder for runs, logs and records.
# SECTION: tests, runs, recipes, variants, speed; all of them when none is named.
set -uo pipefail
images=$1 weights=$2 out=$3
shift 3
sections=${*:-tests runs recipes variants speed}
here=$(dirname "$0")
mkdir -p "$out"
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | tee "$out/device.txt"

timed() {  # NAME COMMAND...: its log in OUT/NAME.log, and a line with its exit code and seconds
  local name=$1 begun=$EPOCHREALTIME
  shift
  timeout "${limit:-200}" "$@" >"$out/$name.log" 2>&1
  local code=$?
  awk -v n="$name" -v c=$code -v a="$begun" -v b="$EPOCHREALTIME" \
    'BEGIN {printf "%-28s exit %d  %6.1f s\n", n, c, b - a}' | tee -a "$out/times.txt"
}

train() {  # NAME SETTING...: a run on the images; a network without weights trains from scratch
  local name=$1
  shift
  timed "$name" bt-train data=folder data.root="$images" data.image_size=224 \
    train.tensorboard=false run_dir="$out/runs/$name" "$@"
}

for section in $sections; do
  case $section in
    tests)  # commands take the device by themselves, so the whole suite runs on it
      limit=140 timed tests python3 -m pytest -q -n 14 --dist worksteal --tb=line \
        -p no:cacheprovider --continue-on-collection-errors tests ;;
    runs)
      thirty='train.phases=[{epochs:30,trainable:all}]'
      train graphs model=mobilenet_mhsa model.backbone.weights=none "$thirty" train.cuda_graphs=true
      train graphs_nchw model=mobilenet_mhsa model.backbone.weights=none "$thirty" \
        train.cuda_graphs=true train.channels_last=false
      train imagenet model=mobilenetv2_035_mhsa model.backbone.weights="$weights" ;;
    recipes)  # those that take hours on a CPU, beside each other
      limit=300 timed recipes env jobs=6 "$here/recipes.sh" "$images" "$weights" "$out/recipes" \
        attention_scratch cnn_vs_mobilenet_baseline attention_transfer ;;
    variants)
      short='train.phases=[{epochs:3,trainable:all}]'
      for variant in bf16 fp32 fp16; do
        train $variant model=mobilenet_mhsa model.backbone.weights=none "$short" \
          train.precision=$variant eval.heatmaps=0
      done
      timed no_cudnn python3 -c "import torch; torch.backends.cudnn.enabled = False
from braintumor.cli.train import main; main()" data=folder data.root="$images" data.image_size=224 \
        model=mobilenet_mhsa model.backbone.weights=none "$short" train.tensorboard=false \
        eval.heatmaps=0 run_dir="$out/runs/no_cudnn"
      train compile model=mobilenet_mhsa model.backbone.weights=none "$short" \
        train.compile=true eval.heatmaps=0
      train auto_batch model=resnet50_cbam model.backbone.weights=none \
        'train.phases=[{epochs:2,trainable:all}]' train.batch_size=auto eval.heatmaps=0
      train frozen model=mobilenetv2_035_se model.backbone.weights="$weights" \
        'train.phases=[{epochs:10,trainable:head}]' eval.heatmaps=0
      timed predict bt-predict ckpt="$out/runs/bf16" input="$images/Testing" overlays=0 \
        run_dir="$out/runs/predicted"
      timed evaluate bt-eval ckpt="$out/runs/fp16" ;;
    speed)
      timed speed python3 "$here/benchmark.py" --data "$images" --model mobilenet --repeats 3 \
        --budget "${budget:-200}" --out "$out/speed_gpu.json" ;;
  esac
done
cat "$out/times.txt"
