#!/usr/bin/env bash
# Makes a stream of its input, an event `line` for each line, and ends it with the input. Prints where browsers can follow it.
#   In one terminal: make run     In another, after the `export` lines that were printed there:
#   examples/curl/publish.sh hello
set -euo pipefail

broker=${TINISTREAMER_URL:-http://127.0.0.1:8000}
key=${1:?"usage: publish.sh KEY (letters, digits, - and _), with STREAMER_API_KEY set"}
auth="X-API-KEY: ${STREAMER_API_KEY:?is not set}"

# The value of a string field; enough for the broker's answers, which are one line of JSON.
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

# It keeps 100,000 lines, so that a reader that comes late gets all of them; without max_events, 500.
access=$(curl -sS --fail-with-body "$broker/api/stream/" -H "$auth" -d "{\"key\": \"$key\", \"max_events\": 100000}") || { echo "$access" >&2; exit 1; }
token=$(field token <<<"$access")
echo "for eventsource.html: $(field sse_url <<<"$access")&token=$token"
echo "for websocket.html:   $(field ws_url <<<"$access")&token=$token"

# However this script is left, the stream does not stay open.
finish=cancel
trap 'curl -sS "$broker/api/stream/$finish" -H "$auth" -d "{\"key\": \"$key\"}" && echo' EXIT

# One request for all lines, each sent as soon as it is read. -T - lets curl send before it has everything.
while IFS= read -r line; do
  line=${line//\\/\\\\}
  line=${line//\"/\\\"}
  printf '{"event": "line", "data": "%s"}\n' "${line//$'\t'/\\t}"
done | curl -sS --fail-with-body -X POST -T - "$broker/api/event/add/json-stream?key=$key" -H "$auth"
echo
finish=end
