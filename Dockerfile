# The workspace without its sources: every member's manifest, and stubs for the targets that Cargo expects of each. It stays
# the same until a dependency changes, and so does the layer below in which all dependencies are built.
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
# The stub is cleaned away here, as Cargo goes by file times and would take it for newer than the sources.
RUN cargo build --release --locked -p tinistreamer \
 && cargo clean --release -p tinistreamer
# Other members of the workspace stay stubs. One that the broker comes to depend on is to be copied here, and let through in
# .dockerignore.
COPY api api
RUN cargo build --release --locked -p tinistreamer

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
# Its own default is the loopback address, on which nobody outside the container could reach it.
ENV STREAMER_ADDRESS=0.0.0.0
# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["tinistreamer", "health"]
ENTRYPOINT ["tinistreamer"]
