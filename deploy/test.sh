#!/usr/bin/env bash
# Tests an image of the service: test.sh PROGRAM IMAGE [OPTION…], where PROGRAM is docker or podman. It runs the image with
# a read-only file system, without capabilities and not as root, and sends requests to it.
set -euo pipefail
program="$1" image="$2"
shift 2
port="${MOUE_TEST_PORT:-8099}"
container="$("$program" run --detach --read-only --cap-drop ALL --security-opt no-new-privileges \
  --env MOUE_TOKEN=secret --publish "127.0.0.1:$port:8080" "$@" "$image")"
trap '"$program" rm --force "$container" >/dev/null' EXIT

get() { curl --silent --show-error --fail "$@"; }

for _ in $(seq 50); do
  "$program" exec "$container" /moue serve --check --quiet && break
  sleep 0.2
done
"$program" exec "$container" /moue serve --check
get "http://127.0.0.1:$port/healthz"
echo

# A gray picture as PGM, which needs no program.
picture="P2 2 2 255 10 200 200 10"
url="http://127.0.0.1:$port/v1/predict?detect=false"
status="$(curl --silent --output /dev/null --write-out '%{http_code}' --data-binary "$picture" "$url")"
[ "$status" = 401 ] || { echo "without the token the status is $status instead of 401" >&2; exit 1; }
get --header "Authorization: Bearer secret" --data-binary "$picture" "$url" | grep --only-matching '"label": *"[a-z]*"'

user="$("$program" inspect --format '{{.Config.User}}' "$container")"
[ "$user" = 65532:65532 ] || { echo "the user is $user" >&2; exit 1; }
"$program" stop --time 10 "$container" >/dev/null
code="$("$program" inspect --format '{{.State.ExitCode}}' "$container")"
[ "$code" = 0 ] || { echo "the exit code after SIGTERM is $code" >&2; exit 1; }
size="$("$program" image inspect --format '{{.Size}}' "$image")"
echo "the image has $((size / 1000000)) MB"
[ "$size" -lt 40000000 ] || { echo "that is more than 40 MB" >&2; exit 1; }
