#!/bin/sh
# The same as follow-many.sh for networks where nothing can stream: one short request after another.
# It needs jq.
#   examples/curl/poll.sh hello build
set -eu

broker=${TINISTREAMER_URL:-http://127.0.0.1:8000}
[ $# -gt 0 ] || { echo "usage: poll.sh KEY..., with STREAMER_API_KEY set" >&2; exit 1; }
response=$(mktemp)
trap 'rm "$response"' EXIT

keys=$(jq -nc '{keys: $ARGS.positional}' --args "$@")
auth="X-API-KEY: ${STREAMER_API_KEY:?is not set}"
curl -sS "$broker/api/stream/token" -H "$auth" -d "$keys" >"$response"
token=$(jq -r '.token // error(.message)' "$response")
query=$(jq -nr '$ARGS.positional | map("key=" + @uri) | join("&")' --args "$@")
url=$broker/api/client/poll?wait=25\&$query

# This is all. A response that did not arrive completely is requested again at the same cursor.
status=active after=
while [ "$status" = active ]; do
  : >"$response"
  curl -s --retry 1000 --retry-delay 1 --retry-all-errors -o "$response" \
    -H "Authorization: Bearer $token" "$url${after:+&after=$after}"
  # curl takes a response that breaks off within its head for an empty one.
  [ -s "$response" ] || continue
  jq -c '.events // error(.message) | .[]' "$response"
  after=$(jq -r '.cursor // "" | @uri' "$response") status=$(jq -r .status "$response")
done
