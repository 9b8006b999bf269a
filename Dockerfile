# The workspace without its sources: every member's manifest, and stubs for its targets. It changes only
# with a dependency. So does the layer below, which builds all dependencies.
FROM rust:1.95-slim-bookworm AS manifests
WORKDIR /src
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock -delete \
 && echo 'fn main() {}' > /tmp/main.rs \
 && find . -mindepth 2 -name Cargo.toml \
    -execdir install -D /dev/null src/lib.rs ';' -execdir install -D /tmp/main.rs src/main.rs ';' \
 && sed -n '/^\[\[test]]$/{n;s/^name = "\(.*\)"$/\1/p}' api/Cargo.toml > /tmp/tests \
 && xargs -I NAME install -D /tmp/main.rs api/tests/NAME/main.rs < /tmp/tests

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY --from=manifests /src .
# Cargo compares file times. It would take the stub for newer than the sources, so it is removed.
RUN cargo build --release --locked -p tinistreamer --features scripts \
 && cargo clean --release -p tinistreamer
# Other members of the workspace stay stubs. If the broker comes to depend on one, copy it here, and
# allow it in .dockerignore.
COPY api api
RUN cargo build --release --locked -p tinistreamer --features scripts

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="tinistreamer" \
      org.opencontainers.image.description="A stateless HTTP streaming broker on Redis Streams: push events, follow them live over SSE or WebSocket" \
      org.opencontainers.image.source="https://github.com/tinistreamer/tinistreamer" \
      org.opencontainers.image.licenses="MIT"
# Certificate authorities, for rediss://. Not pinned to a version: they should be the newest at the time of the build.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/cache/apt/* /var/lib/apt/lists/*
COPY --from=build /src/target/release/tinistreamer /usr/local/bin/
# The default is the loopback address, which nobody outside of the container can reach.
ENV STREAMER_ADDRESS=0.0.0.0
# A number, so that Kubernetes sees that it is not root.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["tinistreamer", "health"]
ENTRYPOINT ["tinistreamer"]
