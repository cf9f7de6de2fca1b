# The only entry for people and CI. `make` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup build test lint proto fmt demo chaos clean

help: ## This list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: ## Fetch the pinned nats-server into target/tools
	@sh tools/setup.sh

build: ## Build everything
	cargo build --workspace --locked

demo: setup ## Set up, run the main job, show an incident made from a real payload
	@cargo build --quiet --locked -p gander
	@sh deploy/demo.sh

test: setup ## Unit, property and end-to-end tests against the real nats-server
	cargo test --workspace --locked

chaos: setup ## Kill gateway, worker, admin and nats-server 20 times each under load
	KILLS=20 cargo test --locked -p e2e --test it -- kills --nocapture

lint: ## Format, clippy, proto
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cd proto && npx --yes @bufbuild/buf@1.72.0 lint

proto: ## Write the generated code anew
	cargo test --locked -p wire --test generated || cargo test --locked -p wire --test generated

fmt: ## Format
	cargo fmt --all

clean: ## Remove what was built
	cargo clean
