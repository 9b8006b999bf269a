"""What subscribers may know about a model that failed. No I/O, and no SDK."""

from __future__ import annotations

from ._errors import ModelFailed
from ._failure import Failure, failure_of

_BUSY = Failure("model-busy", "The model is busy")
_REFUSED = Failure("model-refused", "The model refused the request")
_TIMEOUT = Failure("model-timeout", "The model did not answer in time")
_UNAVAILABLE = Failure("model-unavailable", "The model is not available")
_FAILED = Failure("model-failed", "The model failed")
_INCOMPLETE = Failure("model-incomplete", "The model's answer is incomplete")

# Error classes of the SDKs of OpenAI and Anthropic, which have the same names. A class counts
# before those that it is derived from.
_CLASSES = {
    "APITimeoutError": _TIMEOUT,
    "APIConnectionError": _UNAVAILABLE,
    "APIError": _FAILED,
}

# By HTTP status. 200: the model reported the failure in a stream that had begun.
_STATUSES = {200: _FAILED, 400: _REFUSED, 408: _TIMEOUT, 413: _REFUSED, 422: _REFUSED, 429: _BUSY}


def model_failure(error: BaseException) -> Failure:
    """Says what kind of failure a model's error is, and nothing that the error says itself.

    It is for the option `failure` of a writer or of answers. It knows the errors of the SDKs of
    OpenAI and Anthropic, also through LangChain. The codes are `model-busy`, `model-refused`,
    `model-timeout`, `model-unavailable`, `model-failed` and `model-incomplete`. Other errors stay
    `error` or `interrupted`.
    """
    if isinstance(error, ModelFailed):
        return _INCOMPLETE if error.code == "model-incomplete" else _FAILED
    names = [kind.__name__ for kind in type(error).__mro__]
    if "APIError" not in names:
        return failure_of(error, None)
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return _STATUSES.get(status, _UNAVAILABLE)
    return next(_CLASSES[name] for name in names if name in _CLASSES)
