"""What Schemathesis can't know of the broker by itself: what an upload is made of, and what every error answer must be."""

import json
import os
import re
from pathlib import Path

import schemathesis
from hypothesis import strategies as st

STORE_ANSWERS = os.environ["STORE"] == "answers"
NEEDS_NO_STORE = {"health", "broker_info", "list_clients"}

LIST = Path(__file__).parents[2] / "docs" / "errors.md"
CODES = {code: int(status) for code, status in re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", LIST.read_text("utf-8"), re.MULTILINE)}

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
EVENTS = st.fixed_dictionaries({"event": st.text(min_size=1, max_size=20)}, optional={"data": JSON_VALUES})
LINES = (EVENTS | JSON_VALUES).map(lambda value: json.dumps(value, ensure_ascii=False).encode()) | st.binary(max_size=40)

UPLOADS = st.lists(LINES, max_size=20).map(b"\n".join)


@schemathesis.hook.apply_to(operation_id="upload_events")
def before_generate_body(_context, strategy):
    """To the document an upload is a string, as it has no words for lines."""
    return strategy | UPLOADS


@schemathesis.hook.apply_to(operation_id=["follow_sse", "follow_ndjson", "poll_events"])
def map_query(_context, query):
    """A dictionary has no lists: most keys are made those of a stream that is there and comes to an end, half of them with nothing beside it."""
    keys = (query or {}).get("key")
    if not isinstance(keys, list):
        return query
    length = sum(len(str(key)) for key in keys)
    if length % 2 == 0:
        return {"key": ["followed"]}
    return {**query, "key": ["followed"]} if length % 4 == 1 else query


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context, upload) -> dict[str, bytes]:
    """Bytes from here, text from the document's example, and anything from what must be refused."""
    return {"data": upload if isinstance(upload, bytes) else str(upload).encode(errors="surrogatepass")}


@schemathesis.check
def errors_are_in_the_list(_context, response, _case) -> None:
    """Every error is JSON, its code is in the list with its status, and what is worth trying again says when."""
    if response.status_code < 400 or response.request.method == "HEAD":
        return
    error = response.json()
    assert error.keys() == {"code", "message"}, f"an error of another shape: {error}"
    assert CODES.get(error["code"]) == response.status_code, f"{error['code']} with {response.status_code} is not in docs/errors.md"
    assert error["message"].strip(), "an error that says nothing"
    assert ("retry-after" in response.headers) == (response.status_code in {429, 503})


@schemathesis.check
class EveryOperationIsReached:
    """Were all requests of an operation refused for their shape, it would be as if it had not been tried."""

    def __init__(self) -> None:
        self.tried: set[str] = set()
        self.reached: set[str] = set()

    def after_response(self, _context, response, case) -> None:
        name = case.operation.definition.raw["operationId"]
        self.tried.add(name)
        # No client stays for so long that its id could be known here.
        if name == "disconnect_client" and response.status_code == 404:
            self.reached.add(name)
        if response.status_code == (200 if STORE_ANSWERS or name in NEEDS_NO_STORE else 503):
            self.reached.add(name)

    def after_run(self, _context) -> None:
        missed = self.tried - self.reached
        assert not missed, f"all requests were refused: {', '.join(sorted(missed))}"
