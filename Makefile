# A bare `make` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# The integration tests mostly wait for sockets: more of them at once than there are cores.
export RUST_TEST_THREADS ?= 12
# Hundreds of Python programs start: each would compile the library anew.
unexport PYTHONDONTWRITEBYTECODE
# The tools that write the generated part of the clients.
GENERATOR := --locked --manifest-path clients/rust/generator/Cargo.toml --target-dir target
PYTHON := target/venv-clients/bin/python
# What the tests build: always the same packages and features, those of a release, so that Cargo compiles everything once, and no
# stage replaces the program of another one that runs beside it. `cargo run` and `make check` have the default features.
WORKSPACE := --workspace --locked --features tinistreamer/scripts,tinistreamer-client/websocket,tinistreamer-client/tower
# The broker, and the agent of tests/clients. With an example Cargo takes the same dependencies as for the tests.
BROKER := cargo build $(WORKSPACE) --bin tinistreamer --example agent
# The Rust workspaces, and what looks at their dependencies.
MANIFESTS := Cargo.toml examples/axum-chat/Cargo.toml clients/rust/generator/Cargo.toml fuzz/Cargo.toml
DENY := target/tools/bin/cargo-deny --locked --log-level error --config deny.toml

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-22s %s\n", $$1, $$2}'

.PHONY: run
run: ## Run a broker with the embedded store and throw-away keys, which it prints
	cargo run

.PHONY: check
check: ## The quick loop: formatting, lints, unit tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy -p tinistreamer --test faults --test versions --locked -- -D warnings
	cargo test --workspace --lib --locked --quiet

# The stages of `make test`, each with the minutes after which it counts as hung: several times what it takes on two cores.
STAGES := setup-and-lint:30 test-rust:30 test-faults:15 test-beside:20 test-clients:30 test-ai-sdk:10 test-adapters:10 test-recipes:10 test-guides:10 test-foreign:10 test-packages:10 test-browser:20 test-proxies:5 test-deploy:10

# Targets that run at the same time, because some of them wait for much of their time. The output of each comes when it ends.
TOGETHER := $(MAKE) --no-print-directory --output-sync=target --jobs

.PHONY: test
test: ## Everything but `make nightly`, after installing what the tests need; a stage that hangs is ended and named
	@for stage in $(STAGES); do scripts/stage $${stage%:*} $${stage#*:} || exit; done

# What takes long and is seldom broken: tools and features that have to be compiled for it alone, and tests at random.
NIGHTLY := deny:30 advisories:15 site:10 test-default-build:10 test-rust-stores:15 test-openapi-more:20 test-otlp:15 test-client-rust:15 test-client-versions:30 test-nextjs:15 test-ai-sdk-6:15 test-scenarios:40 test-browser-stores:30 fuzz:60 soak:30

.PHONY: nightly
nightly: ## What `make test` leaves out as it takes too long: dependencies, features, all scenarios, other versions, fuzzing, faults at random
	@for stage in $(NIGHTLY); do scripts/stage $${stage%:*} $${stage#*:} || exit; done

.PHONY: setup
setup: ## Install what the tests need and is not there (packages of Debian, npm and PyPI)
	scripts/setup-tests

.PHONY: setup-and-lint
setup-and-lint: ## `make setup` and `make lint`, in part at the same time: npm and pip wait for their registries
	+$(TOGETHER)=2 setup lint-rust
	+$(MAKE) --no-print-directory lint-rest

.PHONY: lint
lint: lint-rust lint-rest ## Structure, formatting, clippy and rustdoc with warnings as errors, the console's scripts, links between pages

.PHONY: lint-rust
lint-rust:
	scripts/check-structure --self-test
	scripts/check-structure
	cargo fmt --all --check
	# All features, so that dependencies are compiled for one set of features. `make check` has the default ones.
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
	cargo clippy --workspace --test faults --test versions --all-features --locked -- -D warnings
	# What `cargo run` builds: without the features of other programs. `make test-default-build` runs it.
	cargo check --locked
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo metadata --manifest-path fuzz/Cargo.toml --locked --format-version 1 >/dev/null
	# A link to an item that does not exist is an error, also in private documentation.
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps --document-private-items --locked

.PHONY: lint-rest
lint-rest:
	cd api/console && npm run check
	cd tests/workflows && npm run --silent lint
	cd tests/docs && npm run --silent lint

.PHONY: site
site: ## Build the documentation as a site, in target/site
	scripts/build-site

.PHONY: deny
deny: ## The dependencies' licences and sources (deny.toml), and dependencies that nothing uses
	scripts/setup-tools cargo-deny cargo-machete
	for manifest in $(MANIFESTS); do $(DENY) --manifest-path $$manifest check bans licenses sources || exit; done
	target/tools/bin/cargo-machete --skip-target-dir .

.PHONY: advisories
advisories: ## What is known against the dependencies (asks RustSec's database on GitHub, and npm's registry)
	scripts/setup-tools cargo-deny
	for manifest in $(MANIFESTS); do $(DENY) --manifest-path $$manifest check advisories || exit; done
	cd clients/typescript && npm audit --omit=dev
	cd examples/llm-chat && npm audit

.PHONY: sbom
sbom: ## List what the broker is made of in target/tinistreamer.cdx.json (CycloneDX)
	scripts/setup-tools cargo-cyclonedx
	scripts/sbom

.PHONY: test-rust
test-rust: ## Unit and integration tests of the broker and of the Rust client, against a private redis-server
	cargo test $(WORKSPACE)

.PHONY: test-rust-stores
test-rust-stores: ## The tests that `make test-rust` leaves out: exclusive delivery on a Cluster
	cargo test $(WORKSPACE) --test suite -- --ignored

.PHONY: test-default-build
test-default-build: ## The program that `cargo run` builds, which has no scripts
	scripts/check-default-build

.PHONY: test-otlp
test-otlp: ## Spans of requests, with the feature `otlp`
	cargo test -p tinistreamer --features otlp --test suite --locked -- otlp

.PHONY: test-openapi
test-openapi: ## Requests made from spec/openapi.json, and their answers held against it
	$(BROKER)
	cd tests/openapi && OPENAPI_EXAMPLES=40 node --test --test-force-exit --test-timeout=600000

.PHONY: test-openapi-more
test-openapi-more: ## The same with other requests each time, and more of them
	$(BROKER)
	cd tests/openapi && OPENAPI_EXAMPLES=200 OPENAPI_SEED=$${OPENAPI_SEED:-$$RANDOM} node --test --test-force-exit --test-timeout=1000000

.PHONY: fuzz
fuzz: ## Try random input on all that reads bytes, FUZZ_SECONDS (30) for each target
	cargo clippy --manifest-path fuzz/Cargo.toml --target-dir target --locked -- -D warnings
	scripts/setup-tools cargo-fuzz
	fuzz/run

.PHONY: test-faults
test-faults: ## Everything that may break is broken, under load: see docs/operations/reliability.md (two minutes)
	cargo test $(WORKSPACE) --test faults

.PHONY: test-scripts
test-scripts: ## Hooks in Lua, and the modules for them (docs/guides/scripts.md)
	cargo test $(WORKSPACE) --lib -- script::
	cargo test $(WORKSPACE) --test scripts

.PHONY: test-versions
test-versions: ## This version and the one before work together, and what older ones stored is read (docs/operations/upgrade.md)
	scripts/build-commit "$$(cat api/tests/versions/base)"
	cargo test $(WORKSPACE) --test versions

.PHONY: record-version
record-version: ## Record what the version of api/tests/versions/base stores, for all later ones to be tested with
	scripts/build-commit "$$(cat api/tests/versions/base)"
	cargo test $(WORKSPACE) --test versions record -- --ignored --nocapture

.PHONY: test-beside
test-beside: ## `make test-versions`, `test-openapi`, `test-scripts` and `test-runtimes`, at the same time
	+$(TOGETHER)=4 test-versions test-openapi test-scripts test-runtimes

.PHONY: soak
soak: ## The same for ten minutes, or SOAK_SECONDS, at random, with an eye on memory
	cargo test $(WORKSPACE) --test faults soak -- --ignored --nocapture

.PHONY: test-clients
test-clients: ## The Python and TypeScript clients, each by itself, and the scenarios that all clients must pass
	$(BROKER)
	cargo run --quiet $(GENERATOR) -- --check
	cargo test --quiet $(GENERATOR)
	# The Rust client's own tests are part of `make test-rust`. These two at once: both wait for a part of their time.
	+$(TOGETHER)=2 test-client-python test-client-typescript
	cargo package -p tinistreamer-client --no-verify --locked --quiet
	cd tests/clients && npm test

.PHONY: test-client-rust
test-client-rust: ## The Rust client by itself: with its own dependencies' features only, as its users build it
	cargo test -p tinistreamer-client --all-features --locked
	cargo package -p tinistreamer-client --no-verify --locked --quiet

.PHONY: test-client-python
test-client-python: ## The Python client by itself
	clients/python/scripts/check

.PHONY: test-client-typescript
test-client-typescript: ## The TypeScript client by itself
	cd clients/typescript && npm run lint && npm run check && npm test && npm run generate:check && npm run pack:check

.PHONY: test-client-versions
test-client-versions: ## The TypeScript and Python clients on other versions of Node and Python
	scripts/test-client-versions

# Compiled again when a source has changed. A folder changes when a file in it is removed.
.PHONY: typescript-dist
typescript-dist: clients/typescript/dist/index.js

clients/typescript/dist/index.js: $(shell find clients/typescript/src clients/typescript/testing clients/typescript/*.json)
	cd clients/typescript && npm run --silent build || { rm -rf dist; exit 1; }
	touch $@

.PHONY: test-ai-sdk
test-ai-sdk: typescript-dist ## Chats with the AI SDK, version 7, also in Chromium
	$(BROKER)
	cd tests/ai-sdk && AI_SDK=7 npm test

.PHONY: test-ai-sdk-6
test-ai-sdk-6: typescript-dist ## The same with version 6
	$(BROKER)
	cd tests/ai-sdk && AI_SDK=6 npm test

.PHONY: test-nextjs
test-nextjs: typescript-dist ## Build the example in examples/nextjs-chat, and try it in Chromium
	$(BROKER)
	cd examples/nextjs-chat && npm ci --no-audit --no-fund --silent && npm run --silent check && NEXT_TELEMETRY_DISABLED=1 npm run --silent build
	cd tests/ai-sdk && node --test --test-force-exit nextjs.mjs

.PHONY: test-scenarios
test-scenarios: ## The clients' scenarios in every combination with the stores
	$(BROKER)
	cd tests/clients && SCENARIOS=all npm test

.PHONY: test-adapters
test-adapters: typescript-dist ## The TypeScript client with TanStack AI and assistant-ui
	$(BROKER)
	cd tests/adapters && npm test

.PHONY: test-recipes
test-recipes: typescript-dist ## The recipes and the short chats of examples/, also in Chromium
	$(BROKER)
	cd examples/axum-chat && cargo build --locked --target-dir ../../target
	cd tests/recipes && npm test

.PHONY: test-runtimes
test-runtimes: typescript-dist ## The TypeScript client on Deno, Bun and workerd
	$(BROKER)
	cd tests/runtimes && npm test

.PHONY: test-foreign
test-foreign: ## Libraries of other projects, and whether docs/guides/other-clients.md says what they do
	$(BROKER)
	cd tests/foreign && npm test

.PHONY: test-guides
test-guides: typescript-dist ## The programs and examples of docs/, as a reader runs them, also in Chromium
	$(BROKER)
	cd tests/guides && npm test

.PHONY: test-packages
test-packages: typescript-dist ## What users install: packs the broker and the clients, and installs them into empty folders
	$(BROKER)
	cd tests/packages && npm test

.PHONY: package
package: ## Build the npm packages and the wheels of a release for this machine, in target/packages
	scripts/build-portable target/packages/tinistreamer
	scripts/package-broker --binary target/packages/tinistreamer --target $$(scripts/build-portable --target) --out target/packages --clients

.PHONY: lint-workflows
lint-workflows: ## Lint the workflows of GitHub Actions
	cd tests/workflows && npm run --silent lint

.PHONY: release-dry-run
release-dry-run: ## Do what a release does on one machine, and publish nothing (ARGS=--unreleased before a release)
	scripts/release-dry-run $(ARGS)

.PHONY: test-browser
test-browser: typescript-dist ## Real browsers against a real broker
	$(BROKER)
	cd tests/browser && npm test

.PHONY: test-browser-stores
test-browser-stores: typescript-dist ## The browser tests over the embedded store and over Redis
	$(BROKER)
	cd tests/browser && BROWSER_STORES=all npm test

.PHONY: test-proxies
test-proxies: ## Streams through proxies: compression, and nginx with X-Accel-Redirect
	$(BROKER)
	cd tests/proxies && npm test

.PHONY: screenshots
screenshots: ## Take the pictures of the console and the dashboard anew (four minutes), into docs/images
	$(BROKER)
	cd tests/browser && UPDATE_SCREENSHOTS=1 node --test --test-concurrency=1 console/screenshots.test.mjs dashboard/screenshots.test.mjs

.PHONY: test-deploy
test-deploy: ## Lint the container file, the compose file, the nginx example and the alert rules
	deploy/check.sh

.PHONY: bench
bench: ## Measure on this machine (six minutes, wants redis-server), and write docs/operations/performance.md
	cargo build --release --workspace --locked
	target/release/tinistreamer-bench report

# The last commit before fan-out became slower; `make bench-check BASE=HEAD~1` for one change.
BASE ?= 44237bd

.PHONY: bench-check
bench-check: ## Compare this work tree's broker with that of BASE, in turn in one run (ten minutes; ARGS=--quick: two)
	bench/check $(BASE) $(ARGS)

.PHONY: bench-peers
bench-peers: ## Measure the broker among its neighbours (nine minutes), and write docs/operations/comparison.md
	cargo build --release --workspace --locked
	bench/peers/setup
	target/release/tinistreamer-bench peers

.PHONY: clients
clients: ## Generate what is generated in the clients: from spec/openapi.json, and Python's synchronous half
	cargo run --quiet $(GENERATOR)
	$(PYTHON) clients/python/scripts/generate
	$(PYTHON) clients/python/scripts/unasync
	cd clients/typescript && npm run generate

.PHONY: example
example: ## Run the chat in examples/llm-chat with a broker of its own, and print its address
	cd clients/typescript && npm ci --no-audit --no-fund --silent && npm run --silent build
	cd examples/llm-chat && npm ci --no-audit --no-fund --silent && npm start --silent

.PHONY: dashboard
dashboard: ## Run the page of twenty streams in examples/dashboard with a broker of its own, and print its address
	node examples/dashboard/start.mjs

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: spec
spec: ## Write spec/openapi.json anew from the code
	cargo run --quiet -- openapi > spec/openapi.json.new
	mv spec/openapi.json.new spec/openapi.json

.PHONY: settings
settings: ## Write the reference of settings anew from the code: .env.example and docs/reference/settings.md
	scripts/write-settings

.PHONY: keys
keys: ## Print fresh keys as lines of a .env file
	@cargo run --quiet -- keygen

.PHONY: clean
clean: ## Remove what was built
	cargo clean
	rm -rf {api/console,tests/browser,tests/clients,tests/proxies,tests/runtimes,tests/foreign,tests/ai-sdk,tests/ai-sdk/v6,tests/ai-sdk/v7,tests/adapters,tests/docs,tests/recipes,tests/workflows,scripts/site,clients/typescript,examples/llm-chat,examples/nextjs-chat}/node_modules clients/typescript/dist
