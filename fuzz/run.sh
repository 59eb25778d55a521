#!/usr/bin/env bash
# Fuzzes targets for a number of seconds each: run.sh SECONDS [TARGET…]
set -euo pipefail
cd "$(dirname "$0")"
seconds="$1"
shift
if [ $# = 0 ]; then
  mapfile -t targets < <(cargo +nightly fuzz list)
  set -- "${targets[@]}"
fi
for target in "$@"; do
  mkdir -p "corpus/$target"
  folders=("corpus/$target")
  arguments=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1)
  [ -d "seeds/$target" ] && folders+=("seeds/$target")
  [ "$target" = picture ] && folders+=(../crates/moue/tests/pictures)
  [ -f "dictionaries/$target.dict" ] && arguments+=(-dict="dictionaries/$target.dict")
  cargo +nightly fuzz run --release "$target" "${folders[@]}" -- "${arguments[@]}"
done
