# The only entry for people and CI. `make` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup build demo test docs-check deploy-check released chaos overload revocation reliability-page rolling sabotage simulate corruption soak log-kills log-rates fuzz hostile instructions bench performance-page upgrade lint proto documents fmt clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: ## Fetch what tests need into target/tools: nats-server, clients of others
	@sh tools/setup.sh

build: ## Build everything, tests included, with one set of features
	cargo build --workspace --all-targets --locked

demo: ## Set up, run the main job, show incidents made from a real payload
	@sh tools/setup.sh demo
	@[ -x target/debug/gander ] || echo "building (about ten minutes the first time, on two cores)"
	@cargo build --workspace --all-targets --locked
	@sh deploy/demo/run.sh

# Half of an end-to-end test is waiting, so there are twice as many at a time as cores, and one.
export RUST_TEST_THREADS ?= $(shell expr 2 \* $$(nproc) + 1)

test: setup build ## Unit, property and end-to-end tests against the real nats-server
	cargo test --workspace --locked

docs-check: setup build ## Run the commands of the documents and compare what they print
	python3 tools/docs_check.py

deploy-check: ## Check the files in deploy/ with the tools that read them
	@sh tools/setup.sh deploy
	python3 tools/deploy_check.py

# Campaigns run what is released.
released: build
	cargo build --locked --workspace --release --bin gander

campaign = GANDER_PROGRAM=$(or $(GANDER_PROGRAM),$(CURDIR)/target/release/gander) cargo test --locked --workspace --tests

chaos: setup released ## Faults under load, one after another (MINUTES, FAULT, SEED, JOBS)
	MINUTES=$(or $(MINUTES),10) FAULT=$(FAULT) SEED=$(SEED) JOBS=$(JOBS) \
	$(campaign) chaos::the_campaign -- --ignored --nocapture

revocation: setup released ## Put out 1,000 tokens under load, count who is let in (TRIALS)
	TRIALS=$(or $(TRIALS),1000) $(campaign) revocation::trials::the_trials -- --ignored --nocapture

page = cargo test --locked --workspace --tests the_page_of_reliability_is_current

reliability-page: build ## Write the tables of docs/RELIABILITY.md from the ledger and records under tests/
	$(page) || $(page)

sabotage: setup ## Break one rule of the code after another, and show which test notices (PATCH)
	python3 tools/sabotage.py $(PATCH)

simulate: build ## Gateways and workers against a model broker with faults, by 10,000 seeds (SEEDS, SEED)
	SEEDS=$(or $(SEEDS),10000) cargo test --locked --workspace --lib model::random -- --nocapture

overload: setup released ## Offer 1, 2 and 10 times what can be stored, for 60 s each (SECONDS)
	SECONDS=$(or $(SECONDS),60) $(campaign) overload::goodput -- --ignored --nocapture

rolling: setup build ## Replace one of two gateways 200 times under load
	ROLLS=200 cargo test --locked --workspace --tests rolling::no_client -- --nocapture

fuzz: ## Fuzz every parser for 60 s each, led by coverage (FUZZ_SECONDS, FUZZ_TARGETS)
	@sh tools/fuzz.sh

# Idle connections need open files; the attackers of others come from Debian.
hostile: setup released ## Send a million bad requests (REQUESTS, HOSTILE_SEED), floods and slow clients
	@sh tools/setup.sh hostile
	HOSTILE_PATIENCE_MS=$(or $(HOSTILE_PATIENCE_MS),2000) REQUESTS=$(or $(REQUESTS),1000000) HOSTILE_SEED=$(or $(HOSTILE_SEED),1) IDLE_CONNECTIONS=10000 \
	$(campaign) -- --include-ignored --nocapture --test-threads 1 \
	hostile:: http2_connections_that_are_idle

corruption: setup build ## Damage every page of the journal and of the streams (CORRUPTION_ROUNDS)
	CORRUPTION_ROUNDS=$(or $(CORRUPTION_ROUNDS),1) \
	cargo test --locked --workspace --tests corruption:: -- --nocapture --test-threads 1

soak: setup build ## Check every event of an hour of mixed load (SOAK_MINUTES)
	SOAK_MINUTES=$(or $(SOAK_MINUTES),60) cargo test --locked --workspace --tests soak::every_event -- --nocapture

log-kills: setup build ## Kill workers under 10,000 calls: each has one entry, with all reasons
	CALLS=10000 cargo test --locked --workspace --tests apilog::every_call -- --nocapture

instructions: build ## Count the instructions of hot functions, compare with before (RECORD)
	@sh tools/setup.sh instructions
	sh tools/instructions.sh

# What is measured is what is released.
bench: setup ## Measure what Gander costs, as ratios (BENCH=--only=matcher,worker...)
	cargo build --locked --workspace --release --bin gander --bin bench
	GANDER_PROGRAM=$(or $(GANDER_PROGRAM),$(CURDIR)/target/release/gander) \
	target/release/bench --json target/bench/results.json $(BENCH)

performance-page: ## Write tables and pictures of docs/PERFORMANCE.md from what `make bench` measured
	@sh tools/setup.sh performance
	PYTHONPATH=target/tools/performance python3 tools/performance.py

log-rates: setup build ## Measure the API log: entries stored, shown, exported a second
	cargo test --locked --workspace --tests apilog_rates::rates -- --ignored --nocapture

upgrade: setup build ## Replace the build before by this one and back, under load
	@sh tools/previous.sh
	cargo test --locked --workspace --tests the_build_before -- --ignored --nocapture

lint: ## Format, clippy, proto
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --features fuzz/libfuzzer -- -D warnings
	python3 tools/sabotage.py --check
	cd proto && npx --yes @bufbuild/buf@1.72.0 lint

proto: ## Write the generated code anew
	cargo test --locked -p wire --test generated || cargo test --locked -p wire --test generated

current = cargo test --workspace --locked --no-fail-fast --lib --test forms -- is_current

documents: ## Write OpenAPI, AsyncAPI and JSON Schema anew
	$(current) || $(current)

fmt: ## Format
	cargo fmt --all

clean: ## Remove what was built and fetched
	cargo clean
