#!/usr/bin/env bash
# Trains the bundled models again: crates/moue/models/train.sh DATA VOTES, where DATA is FER2013 with its official split,
# and VOTES FER+'s fer2013new.csv.
# Twelve training runs, about ten hours on two cores; interrupted runs are resumed when the script is started again, and
# finished ones are kept. The current folder gets the models, its folder runs/ the runs.
# MOUE names the program (by default, moue in the PATH).
#
# Minutes on two cores of an AMD EPYC (Zen 4), f32, with other work on the machine: votes 37, default 22, tiny 29. The
# eight runs before them take about eight hours.
#
# fer2013: the calibration of the file in this folder was fitted anew after its training, by a temperature alone:
#   cargo run --release -p moue-train --example recalibrate -- fer2013.safetensors DATA
# The fingerprints of the training images of all models are those of the run folders, merged:
#   cargo run --release -p moue-train --example training_images -- crates/train/models/training-images.bin runs/*/training-images.bin
set -euo pipefail
data=$1
votes=$2
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

# From scratch, with strong augmentation and progressive image sizes.
train first search/first
train tiny-labels search/tiny
strong=(--set train.ema_decay=0.998 --set train.teacher_weight=0.7 --set augment.rotation=12.0
  --set augment.translation=0.08 --set augment.scale=0.12 --set augment.brightness=0.25 --set augment.contrast=0.25
  --set augment.random_erasing=0.3)
train stage-1 fer2013 "${strong[@]}" --seed 0 --epochs 38 --learning-rate 0.1 \
  --set "train.teachers=[$(model first), $(model tiny-labels)]" \
  --set 'train.progressive=[{ until = 0.4, image_size = [32, 32] }]'
train stage-2 fer2013 "${strong[@]}" --seed 0 --init runs/stage-1/model.safetensors --epochs 46 --learning-rate 0.08 \
  --set augment.mixup=0.2 --set "train.teachers=[$(model first), $(model tiny-labels), $(model stage-1)]" \
  --set 'train.progressive=[{ until = 0.55, image_size = [32, 32] }]'
# Then with weak augmentation, initialized with the weights of the previous stage.
mild=(--seed 0 --set train.teacher_weight=0.6 --set augment.noise=0.01)
train stage-3 fer2013 "${mild[@]}" --init runs/stage-2/model.safetensors --epochs 9 --learning-rate 0.025 \
  --set train.ema_decay=0.998 --set "train.teachers=[$(model first), $(model stage-1), $(model stage-2)]"
train stage-4 fer2013 "${mild[@]}" --init runs/stage-3/model.safetensors --epochs 17 --learning-rate 0.03 \
  --set "train.teachers=[$(model first), $(model stage-3)]"
"$moue" export runs/stage-4/model.safetensors runs/stage-4/f16.safetensors --precision f16
# Then strong augmentation at a high learning rate, distilled from stage 4; at last weak augmentation, distilled from
# stages 4 and 5.
train stage-5 fer2013 "${strong[@]}" --init runs/stage-4/f16.safetensors --epochs 46 --learning-rate 0.08 \
  --set augment.mixup=0.2 --set 'train.teachers=["runs/stage-4/f16.safetensors"]' \
  --set 'train.progressive=[{ until = 0.5, image_size = [32, 32] }]'
train fer2013 fer2013 --init runs/stage-5/model.safetensors

"$moue" export runs/fer2013/model.safetensors fer2013.safetensors --precision int8 --data "$data"

# What people see: the network of fer2013 with its weights, trained on votes, then with stronger corruptions and
# weights for rare classes; tiny is distilled from it.
train votes search/votes --votes "$votes" --init fer2013.safetensors
train default default --votes "$votes" --init runs/votes/model.safetensors
"$moue" export runs/default/model.safetensors default.safetensors --precision int8 --data "$data"
train tiny tiny --votes "$votes" --init runs/tiny-labels/model.safetensors
"$moue" export runs/tiny/model.safetensors tiny.safetensors --precision int8 --data "$data"

# The benchmark on FER+'s eight classes, which is not bundled.
train ferplus ferplus --votes "$votes" --init runs/votes/model.safetensors
