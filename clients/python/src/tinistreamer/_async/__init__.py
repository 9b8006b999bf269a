"""One of two interfaces: `scripts/unasync` generates `_sync` from `_async`."""
