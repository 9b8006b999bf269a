#!/usr/bin/env bash
# Creates a stream, writes each line of its input as an event `line`, and ends the stream with the
# input. Prints the addresses where browsers can follow it.
#   In one terminal: make run
#   In another, after the `export` lines that were printed there: examples/curl/publish.sh hello
set -euo pipefail

broker=${TINISTREAMER_URL:-http://127.0.0.1:8000}
key=${1:?"usage: publish.sh KEY (letters, digits, - and _), with STREAMER_API_KEY set"}
auth="X-API-KEY: ${STREAMER_API_KEY:?is not set}"

# The value of a string field. The broker's responses are one line of JSON, so this is enough.
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

# The stream keeps 100,000 lines, so that a late reader gets all of them. Without max_events: 500.
stream="{\"key\": \"$key\", \"max_events\": 100000}"
access=$(curl -sS --fail-with-body "$broker/api/stream/" -H "$auth" -d "$stream") ||
  { echo "$access" >&2; exit 1; }
token=$(field token <<<"$access")
echo "for eventsource.html: $(field sse_url <<<"$access")&token=$token"
echo "for websocket.html:   $(field ws_url <<<"$access")&token=$token"

# The stream never stays open when this script exits.
finish=cancel
trap 'curl -sS "$broker/api/stream/$finish" -H "$auth" -d "{\"key\": \"$key\"}" && echo' EXIT

# One request for all lines, each sent as soon as it is read. With -T - curl sends before the input
# is complete.
while IFS= read -r line; do
  line=${line//\\/\\\\}
  line=${line//\"/\\\"}
  printf '{"event": "line", "data": "%s"}\n' "${line//$'\t'/\\t}"
done |
  curl -sS --fail-with-body -X POST -T - "$broker/api/event/add/json-stream?key=$key" -H "$auth"
echo
finish=end
