#!/bin/sh
# The same as follow-many.sh for places where nothing may stream: one short request after the other. It needs jq.
#   examples/curl/poll.sh hello build
set -eu

broker=${TINISTREAMER_URL:-http://127.0.0.1:8000}
[ $# -gt 0 ] || { echo "usage: poll.sh KEY..., with STREAMER_API_KEY set" >&2; exit 1; }
answer=$(mktemp)
trap 'rm "$answer"' EXIT

keys=$(jq -nc '{keys: $ARGS.positional}' --args "$@")
curl -sS "$broker/api/stream/token" -H "X-API-KEY: ${STREAMER_API_KEY:?is not set}" -d "$keys" >"$answer"
token=$(jq -r '.token // error(.message)' "$answer")
url=$broker/api/client/poll?wait=25\&$(jq -nr '$ARGS.positional | map("key=" + @uri) | join("&")' --args "$@")

# All of it: an answer that has not arrived whole is asked for again, from the same place.
status=active after=
while [ "$status" = active ]; do
  curl -s --retry 1000 --retry-delay 1 --retry-all-errors -o "$answer" -H "Authorization: Bearer $token" "$url${after:+&after=$after}"
  jq -c '.events // error(.message) | .[]' "$answer"
  after=$(jq -r '.cursor // "" | @uri' "$answer") status=$(jq -r .status "$answer")
done
