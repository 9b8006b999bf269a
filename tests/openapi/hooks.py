"""What the OpenAPI document can't describe: the lines of an upload, and the form of every error."""

import json
import os
import re
from pathlib import Path

import jsonschema_rs
import schemathesis
from hypothesis import strategies as st

STORE_ANSWERS = os.environ["STORE"] == "answers"
NEEDS_NO_STORE = {"health", "broker_info", "list_clients"}

LIST = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
CODES = {
    code: int(status)
    for code, status in re.findall(
        r"^\| `([a-z-]+)` \| (\d+) \|", LIST.read_text("utf-8"), re.MULTILINE
    )
}

# The errors that a valid request may get: they depend on the broker's state, or on its settings.
STATE = {
    "client-not-found",
    "cross-slot",
    "existing-stream",
    "forbidden",
    "no-active-stream",
    "sequence-gap",
    "shutting-down",
    "stale-generation",
    "stop-requested",
    "store-unavailable",
    "stream-not-found",
    "too-large",
    "too-many-clients",
    "too-many-events",
    "too-many-keys",
    "too-many-producers",
    "too-many-signals",
    "too-many-streams",
}

MAX_LINE = int(os.environ["MAX_LINE"])
# The default of STREAMER_MAX_KEYS_PER_CLIENT.
MAX_KEYS = 32
SPEC = json.loads((Path(__file__).parents[2] / "spec" / "openapi.json").read_text("utf-8"))
EVENT = SPEC["components"]["schemas"]["Event"]
KEY = SPEC["components"]["schemas"]["EndStream"]["properties"]["key"]
IS_EVENT = jsonschema_rs.validator_for(EVENT).is_valid
IS_KEY = jsonschema_rs.validator_for(KEY).is_valid


def fits_in_bytes(limit: int, text: str) -> bool:
    """Whether a text has at most `limit` bytes of UTF-8."""
    return len(text.encode(errors="surrogatepass")) <= limit


# Formats of the document. Each strategy makes valid strings. The document's patterns and lengths
# only filter some out.
CHARACTERS = st.characters(exclude_categories=["Cc", "Cs"])
# In ASCII a length in characters is a length in bytes. The smallest limit is 64 bytes.
SHORT = st.text(CHARACTERS, max_size=16)
ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126))
schemathesis.openapi.format("byte-limited", SHORT | ASCII | st.integers(1, 256).map("x".__mul__))

NUMBERS = st.integers(0, 2**64 - 1)
IDS = st.builds("{}-{}".format, NUMBERS, NUMBERS)
POSITIONS = st.builds(
    "{}:{}".format,
    st.sampled_from(["followed", "other", "a%2Cb", "%C3%A9"]),
    st.just("") | IDS | IDS.map("{}!".format),
)
schemathesis.openapi.format(
    "event-cursor", st.just("") | IDS | st.lists(POSITIONS, min_size=1, max_size=3).map(",".join)
)

TIMES = st.datetimes().map(lambda time: f"{time:%H:%M:%S}").map("2026-02-28T{}Z".format)
schemathesis.openapi.format(
    "start-position", st.sampled_from(["", "start", "now"]) | NUMBERS.map("-{}".format) | TIMES
)

NAMES = st.text(
    CHARACTERS.filter(lambda character: character not in ",*" and not character.isspace()),
    min_size=1,
    max_size=16,
)
FILTERS = st.builds("{}{}".format, NAMES, st.sampled_from(["", "*"])) | st.just("*")
schemathesis.openapi.format("event-filter", st.lists(FILTERS, min_size=1, max_size=5).map(",".join))
TOKENS = NAMES.map(lambda name: name.replace("~", "~0").replace("/", "~1"))
POINTERS = st.lists(TOKENS, max_size=3).map(lambda tokens: "".join(f"/{token}" for token in tokens))
schemathesis.openapi.format("json-pointer-or-empty", POINTERS)
schemathesis.openapi.format("tag-list", st.lists(SHORT, max_size=5).map(",".join))

# Lines of an upload: valid events, events with one error, other JSON, and text that is not JSON.
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)
EVENT_NAME = EVENT["properties"]["event"]
IS_NAME = jsonschema_rs.validator_for(EVENT_NAME).is_valid
GOOD_NAMES = (SHORT | st.integers(1, EVENT_NAME["maxLength"]).map("x".__mul__)).filter(IS_NAME)
BAD_NAMES = st.sampled_from(
    [
        *EVENT_NAME["not"]["enum"],
        "",
        "x" * (EVENT_NAME["maxLength"] + 1),
        "\u00e9" * EVENT_NAME["maxLength"],
        "a\nb",
        "\x7f",
        "a\u0085",
    ]
) | JSON_VALUES.filter(lambda value: not isinstance(value, str))


def events(names: st.SearchStrategy) -> st.SearchStrategy:
    """Objects with the members of an event in the document, and sometimes other members."""
    return st.fixed_dictionaries(
        {"event": names},
        optional={name: JSON_VALUES for name in [*EVENT["properties"], "id"] if name != "event"},
    )


GOOD_EVENTS = events(GOOD_NAMES)
LINES = (GOOD_EVENTS | events(BAD_NAMES) | JSON_VALUES).map(
    lambda value: json.dumps(value, ensure_ascii=False).encode()
) | st.binary(max_size=40)
GOOD_LINES = GOOD_EVENTS.map(lambda value: json.dumps(value, ensure_ascii=False).encode())

UPLOADS = st.lists(GOOD_LINES, max_size=20).map(b"\n".join) | st.lists(LINES, max_size=20).map(
    b"\n".join
)


@schemathesis.hook.apply_to(operation_id="upload_events")
def before_generate_body(_context, strategy):
    """The document describes an upload as a string, because it can't describe lines."""
    return strategy | UPLOADS


@schemathesis.hook.apply_to(operation_id="issue_token")
def map_body(_context, body):
    """Replaces half of the valid keys by the key of an existing stream."""
    if not isinstance(body, dict):
        return body
    known = {"key": "one", "keys": ["one", "two"]}
    return {
        name: known[name] if name in known and is_good_key(value) else value
        for name, value in body.items()
    }


def is_good_key(value) -> bool:
    """Whether these are valid keys, and of the half that is replaced."""
    keys = value if isinstance(value, list) else [value]
    return (
        bool(keys)
        and all(IS_KEY(key) and fits_in_bytes(KEY["maxLength"], key) for key in keys)
        and sum(map(len, keys)) % 2 == 0
    )


@schemathesis.hook.apply_to(operation_id=["follow_sse", "follow_ndjson", "poll_events"])
def map_query(_context, query):
    """Replaces most keys by that of a finished stream, because a dictionary has no lists.

    In half of the cases the query contains nothing else.
    """
    keys = (query or {}).get("key")
    if not isinstance(keys, list):
        return query
    length = sum(len(str(key)) for key in keys)
    if length % 2 == 0:
        return {"key": ["followed"]}
    return {**query, "key": ["followed"]} if length % 4 == 1 else query


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context, upload) -> bytes:
    """Takes bytes of this file, text of the document's example, and any value that is invalid."""
    return upload if isinstance(upload, bytes) else str(upload).encode(errors="surrogatepass")


@schemathesis.check
def errors_are_in_the_list(_context, response, _case) -> None:
    """Every error is JSON and in the list with its status. 429 and 503 have `Retry-After`."""
    if response.status_code < 400 or response.request.method == "HEAD":
        return
    error = response.json()
    assert error.keys() - {"stream_status"} == {"code", "message"}, (
        f"an error of another form: {error}"
    )
    assert CODES.get(error["code"]) == response.status_code, (
        f"{error['code']} with {response.status_code} is not in docs/reference/errors.md"
    )
    assert error["message"].strip(), "an error without a message"
    # A stream that has too many signals keeps them.
    is_temporary = response.status_code in {429, 503} and error["code"] != "too-many-signals"
    assert ("retry-after" in response.headers) == is_temporary


def depends_on_another(case) -> bool:
    """Whether a request breaks a rule that only a description has, such as between parameters."""
    query = case.query or {}
    if "sequence" in query and "producer" not in query:
        return True
    names = query.get("rollup") or []
    if len(query.get("rollup_path") or []) > len(names) or ("rollup_ms" in query and not names):
        return True
    cursors = [query.get(name) for name in ("last_event_id", "lastEventId", "after")] + [
        (case.headers or {}).get("Last-Event-ID")
    ]
    keys = query.get("key")
    if isinstance(keys, list) and len(set(map(str, keys))) > 1:
        # With several keys a cursor must name the stream of each id.
        return any(re.fullmatch(r"\d+-\d+", str(cursor)) for cursor in cursors)
    # With `strict` the broker refuses unknown members. Otherwise it ignores them.
    strict, body = query.get("strict"), case.body
    # The largest number of keys is a setting.
    if isinstance(body, dict) and len(body.get("keys") or []) > MAX_KEYS:
        return True
    # 0, or 2 and more.
    if isinstance(body, dict) and 1 in (body.get("lease"), body.get("stall")):
        return True
    events = body.get("events") if isinstance(body, dict) else None
    return str(strict).lower() == "true" and any(
        set(event) - set(EVENT["properties"]) for event in events or []
    )


@schemathesis.check
def what_the_document_allows_is_accepted(_context, response, case) -> None:
    """The broker refuses a valid request only because of its state."""
    if response.status_code < 400 or response.request.method == "HEAD":
        return
    if (
        case.meta is None
        or not case.meta.generation.mode.is_positive
        or response.status_code == 401
    ):
        return
    error = response.json()
    assert error["code"] in STATE or depends_on_another(case), (
        f"the broker refuses what the document allows: {error}"
    )


def refuse(constant: str) -> None:
    """Refuses NaN and infinity, which JSON does not have."""
    raise ValueError(constant)


def is_event(line: bytes, *, strict: bool) -> bool:
    """Whether a line of an upload is a valid event, within the broker's limit for a line."""
    if len(line) > MAX_LINE:
        return False
    try:
        value = json.loads(line.decode(), parse_constant=refuse)
    except ValueError:
        return False
    is_known = not strict or not isinstance(value, dict) or set(value) <= set(EVENT["properties"])
    return is_known and IS_EVENT(value) and fits_in_bytes(EVENT_NAME["maxLength"], value["event"])


@schemathesis.check
def uploads_are_checked_by_the_document(_context, response, case) -> None:
    """The broker stores the lines of an upload that are valid events, and reports the others."""
    if (
        case.operation.definition.raw["operationId"] != "upload_events"
        or response.status_code != 200
        or response.request.method != "POST"
    ):
        return
    lines = (response.request.body or b"").split(b"\n")
    lines = [line.removesuffix(b"\r").removeprefix(b"\xef\xbb\xbf") for line in lines]
    strict = str((case.query or {}).get("strict")).lower() == "true"
    expected = [
        is_event(line, strict=strict)
        for line in lines
        if line.strip(b" \t\r\n\x0c") or len(line) > MAX_LINE
    ]
    answer = response.json()
    written = answer["num_events"] + answer.get("num_duplicates", 0)
    assert (written, answer["num_errors"]) == (expected.count(True), expected.count(False)), (
        f"not as the document describes these lines: {lines}"
    )


@schemathesis.check
class EveryOperationIsReached:
    """At least one request of each operation succeeds. Otherwise the operation was not tested."""

    def __init__(self) -> None:
        self.tried: set[str] = set()
        self.reached: set[str] = set()

    def after_response(self, _context, response, case) -> None:
        name = case.operation.definition.raw["operationId"]
        self.tried.add(name)
        # No subscriber stays connected for so long that its id could be known here.
        if name == "disconnect_client" and response.status_code == 404:
            self.reached.add(name)
        if response.status_code == (200 if STORE_ANSWERS or name in NEEDS_NO_STORE else 503):
            self.reached.add(name)

    def after_run(self, _context) -> None:
        missed = self.tried - self.reached
        assert not missed, f"all requests were refused: {', '.join(sorted(missed))}"
