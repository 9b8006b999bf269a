#!/bin/sh
# Prints the events of several streams as lines of JSON, until all have ended. When the connection breaks, it goes on after the last
# event that it had of each. It needs jq.
#   In the terminal of publish.sh, or in one with the same `export` lines: examples/curl/follow-many.sh hello build
set -eu

broker=${TINISTREAMER_URL:-http://127.0.0.1:8000}
[ $# -gt 0 ] || { echo "usage: follow-many.sh KEY..., with STREAMER_API_KEY set" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# A backend makes the token, one for all of the streams.
keys=$(jq -nc '{keys: $ARGS.positional}' --args "$@")
curl -sS "$broker/api/stream/token" -H "X-API-KEY: ${STREAMER_API_KEY:?is not set}" -d "$keys" >"$work/access"
token=$(jq -r '.token // error(.message)' "$work/access")
query=$(jq -nr '$ARGS.positional | map("key=" + @uri) | join("&")' --args "$@")

places=
while :; do
  : >"$work/head"
  # What a break leaves of a line is no JSON, and jq drops it.
  curl -sfN "$broker/api/client/ndjson?$query" -D "$work/head" -H "Authorization: Bearer $token" ${places:+-H "Last-Event-ID: $places"} |
    jq -c --unbuffered 'select(.event)' 2>"$work/rest" | tee "$work/new"
  case $(sed -n '1s/^HTTP[^ ]* \(...\).*/\1/p' "$work/head") in
    204) break ;; # There is nothing after the last event of any of them.
    200 | "" | 408 | 429 | 5??) sleep 1 ;;
    *) sed 1q "$work/head" >&2 && exit 1 ;;
  esac
  # A cursor is made of a KEY:ID for each stream; the key is encoded, so that it has neither colons nor commas.
  places=$({ echo "$places" | tr , '\n'; jq -r 'select(.id) | "\(.key | @uri):\(.id)"' "$work/new"; } |
    awk -F : 'NF { place[$1] = $0 } END { for (key in place) print place[key] }' | paste -sd , -)
done
