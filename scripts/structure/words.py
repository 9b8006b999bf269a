"""The retired words, and what to say in their place."""

# Where the standard terms apply.
SCOPE = (
    "api/",
    "bench/",
    "tests/",
    "clients/",
    "scripts/",
    "examples/",
    "deploy/",
    "docs/",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "RELEASE.md",
    "SECURITY.md",
)

# Each row: a part of every match in small letters, which is quick to look for; a regular expression
# of whole words, in which a blank is any space between words; and what to say instead. Identifiers
# consist of words, too: `is_told`.
RETIRED = (
    ("census", r"(?i:census)", "presence"),
    ("wish", r"(?i:wish(?:es)?)", "subscribe request"),
    ("lookout", r"(?i:lookouts?)", "resolver"),
    ("newcomer", r"(?i:newcomers?)", "new subscriber"),
    ("audience", r"(?<!Intended )(?i:audiences?)", "subscriber counts"),
    ("pulse", r"Pulse", "Liveness"),
    ("departure", r"Departure", "DisconnectReason"),
    ("birth", r"(?i:birth marks?)|Birth|BIRTH", "generation"),
    ("seat", r"(?i:seats?)", "permit"),
    ("numbered", r"Numbered", "ProducerSequence"),
    ("introduction", r"Introduction", "ClientMetadata"),
    ("beginning::", r"Beginning(?=::)", "StartPosition"),
    ("whoever", r"(?i:whoever)", "who it is: a caller, a subscriber"),
    ("whichever", r"(?i:whichever)", "which one"),
    ("told", r"(?i:(?:is|are|was|were|be|been|being) told)", "receives; the broker reports"),
    ("tells", r"Tells", "reports, sends"),
    ("word", r"(?<!const )(?<!let )(?i:word of)", "notification"),
    ("no", r"(?i:(?:is|are|was|were) no more)(?! than)", "was deleted, no longer exists"),
    ("what", r"(?i:what there is)", "the existing …"),
    ("as", r"(?i:as ever)", "as before"),
    ("scarce", r"(?i:scarce)", "holds a connection"),
    ("patience", r"(?<!store_)(?<!STORE_)(?i:patience)", "timeout"),
    ("deaf", r"(?i:deaf)", "subscription is down"),
)

# Text that stays: help texts of metrics, sample texts.
EXEMPT = {
    "api/src/telemetry/metrics/clients.rs": {"were told"},
    # Sample texts.
    "examples/dashboard/sources.mjs": {"word of", "Whoever", "whoever"},
}
