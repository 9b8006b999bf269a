from __future__ import annotations

from ...models.access import Access
from ...models.issue_token import IssueToken
from ...types import Operation


def issue_token(body: IssueToken) -> Operation[Access]:
    """Issues a token for one stream, for several, or for all streams whose keys begin with a prefix."""
    return Operation(
        method="POST",
        path="/api/stream/token",
        body=body.to_dict(),
        parse=lambda response: Access.from_dict(response.json()),
    )
