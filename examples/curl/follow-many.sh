#!/bin/sh
# Prints the events of several streams as lines of JSON, until all have ended. When the connection
# breaks, it continues after the last event of each stream. It needs jq.
#   In the terminal of publish.sh, or in one with the same `export` lines:
#   examples/curl/follow-many.sh hello build
set -eu

broker=${TINISTREAMER_URL:-http://127.0.0.1:8000}
[ $# -gt 0 ] || { echo "usage: follow-many.sh KEY..., with STREAMER_API_KEY set" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# A backend issues the token, one for all streams.
keys=$(jq -nc '{keys: $ARGS.positional}' --args "$@")
auth="X-API-KEY: ${STREAMER_API_KEY:?is not set}"
curl -sS "$broker/api/stream/token" -H "$auth" -d "$keys" >"$work/access"
token=$(jq -r '.token // error(.message)' "$work/access")
query=$(jq -nr '$ARGS.positional | map("key=" + @uri) | join("&")' --args "$@")

cursor=
while :; do
  : >"$work/head"
  # A line that a break has cut is not JSON, and jq drops it.
  curl -sfN "$broker/api/client/ndjson?$query" -D "$work/head" \
    -H "Authorization: Bearer $token" ${cursor:+-H "Last-Event-ID: $cursor"} |
    jq -c --unbuffered 'select(.event)' 2>"$work/rest" | tee "$work/new"
  case $(sed -n '1s/^HTTP[^ ]* \(...\).*/\1/p' "$work/head") in
    204) break ;; # Nothing follows the last events.
    200 | "" | 408 | 429 | 5??) sleep 1 ;;
    *) sed 1q "$work/head" >&2 && exit 1 ;;
  esac
  # A cursor has a KEY:ID for each stream. The encoded key contains no colons and no commas.
  cursor=$({ echo "$cursor" | tr , '\n'
    jq -r 'select(.id) | "\(.key | @uri):\(.id)"' "$work/new"; } |
    awk -F : 'NF { item[$1] = $0 } END { for (key in item) print item[key] }' | paste -sd , -)
done
