#!/usr/bin/env bash
# Follows a stream to its end and prints its events. When the connection breaks, it continues after
# the last event.
#   In the terminal of publish.sh, or in one with the same `export` lines, before or after:
#   examples/curl/follow.sh hello
set -euo pipefail

broker=${TINISTREAMER_URL:-http://127.0.0.1:8000}
key=${1:?"usage: follow.sh KEY, with STREAMER_API_KEY set"}
auth="X-API-KEY: ${STREAMER_API_KEY:?is not set}"

# A backend issues the token, because only it has the API key. A subscriber needs only the token.
body="{\"key\": \"$key\"}"
access=$(curl -sS --fail-with-body "$broker/api/stream/token" -H "$auth" -d "$body") ||
  { echo "$access" >&2; exit 1; }
token=$(sed -n 's/.*"token":"\([^"]*\)".*/\1/p' <<<"$access")

last=
while :; do
  status='no answer' id= event= data=
  # With -i the head of the response comes first. An event that a break has cut is dropped.
  while IFS= read -r line; do
    case $line in
      HTTP/*) status=${line#* } status=${status:0:3} ;;
      "id: "*) id=${line#id: } ;;
      "event: "*) event=${line#event: } ;;
      data:*) line=${line#data:} data+=${data:+$'\n'}${line# } ;;
      "")
        [ -z "$event" ] || echo "$event: $data"
        last=${id:-$last} id= event= data=
        ;;
    esac
  done < <(curl -siN "$broker/api/client/sse?key=$key" -H "Authorization: Bearer $token" \
    ${last:+-H "Last-Event-ID: $last"})
  case $status in
    204) break ;; # There is nothing after the last event.
    200 | "no answer" | 408 | 429 | 5??) sleep 1 ;;
    *) echo "The broker answered $status" >&2 && exit 1 ;;
  esac
done
