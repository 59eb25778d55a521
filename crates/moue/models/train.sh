#!/usr/bin/env bash
# Trains the bundled models as they were trained: crates/moue/models/train.sh DATA, where DATA is FER2013 with its
# official split.
# Eight trainings, about eight hours on two cores; each goes on where it was interrupted when this is started again.
# MOUE names the program (moue in the PATH otherwise). Everything goes to runs/ in the current folder.
set -euo pipefail
data=$1
moue=${MOUE:-moue}

train() { # NAME PRESET [OPTION…]
  local folder=runs/$1 preset=$2
  shift 2
  if [ -e "$folder/checkpoints" ]; then
    "$moue" train --resume "$folder"
  else
    "$moue" train "$preset" --data "$data" --out "$folder" "$@"
  fi
}

model() { echo "\"runs/$1/model.safetensors\""; }

# From scratch, pictures altered strongly, small at first.
train first search/first
train tiny tiny
strongly=(--set train.ema_decay=0.998 --set train.teacher_weight=0.7 --set augment.rotation=12.0
  --set augment.translation=0.08 --set augment.scale=0.12 --set augment.brightness=0.25 --set augment.contrast=0.25
  --set augment.random_erasing=0.3)
train stage-1 default "${strongly[@]}" --seed 0 --epochs 38 --learning-rate 0.1 \
  --set "train.teachers=[$(model first), $(model tiny)]" \
  --set 'train.progressive=[{ until = 0.4, image_size = [32, 32] }]'
train stage-2 default "${strongly[@]}" --seed 0 --init runs/stage-1/model.safetensors --epochs 46 --learning-rate 0.08 \
  --set augment.mixup=0.2 --set "train.teachers=[$(model first), $(model tiny), $(model stage-1)]" \
  --set 'train.progressive=[{ until = 0.55, image_size = [32, 32] }]'
# Then less strongly, from what was learned.
mildly=(--seed 0 --set train.teacher_weight=0.6 --set augment.noise=0.01)
train stage-3 default "${mildly[@]}" --init runs/stage-2/model.safetensors --epochs 9 --learning-rate 0.025 \
  --set train.ema_decay=0.998 --set "train.teachers=[$(model first), $(model stage-1), $(model stage-2)]"
train stage-4 default "${mildly[@]}" --init runs/stage-3/model.safetensors --epochs 17 --learning-rate 0.03 \
  --set "train.teachers=[$(model first), $(model stage-3)]"
"$moue" export runs/stage-4/model.safetensors runs/stage-4/f16.safetensors --precision f16
# Once more: far away from there at a high rate, taught by it, and back; then less strongly, taught by both.
train stage-5 default "${strongly[@]}" --init runs/stage-4/f16.safetensors --epochs 46 --learning-rate 0.08 \
  --set augment.mixup=0.2 --set 'train.teachers=["runs/stage-4/f16.safetensors"]' \
  --set 'train.progressive=[{ until = 0.5, image_size = [32, 32] }]'
train default default --init runs/stage-5/model.safetensors

"$moue" export runs/default/model.safetensors default.safetensors --precision f16
"$moue" export runs/tiny/model.safetensors tiny.safetensors --precision i8
