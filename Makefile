# One-word targets. `make run` and `make test` are the two commands that do all the set-up.
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
ARGS    ?=
CHAOS_TIME ?= 20m
CHAOS_SEED ?=

.PHONY: help build run cluster test unit race wasm lint fmt check compat chaos fuzz bench docs clean

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

build: ## the binary, bin/dmq
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/dmq ./cmd/dmq

run: build ## build and start one node; data is kept in ./data (ARGS='--set key=value')
	exec ./bin/dmq serve $(ARGS)

cluster: build ## build and run three nodes on this machine; data is kept in ./data/1, 2 and 3 (ARGS='--set key=value')
	exec ./bin/dmq dev --nodes 3 --keep ./data $(ARGS)

test: ## everything that has to pass: installs what the tests need, then runs them all
	./compat-tests/test.sh

unit: ## the Go tests of this module, without the race detector
	$(GO) test ./...

race: ## the Go tests of this module under the race detector
	$(GO) test -race ./...

wasm: ## the rooms below protocol, log, kraft and broker also build for wasip1 (all but kraft/raftstore's pebble)
	GOOS=wasip1 GOARCH=wasm $(GO) build ./protocol/... ./log/... ./kraft/... ./broker/...

lint: ## golangci-lint with the import rules, and gofumpt
	$(GO) tool -modfile=tools.mod golangci-lint run ./...

fmt: ## format
	$(GO) tool -modfile=tools.mod gofumpt -w $$(git ls-files '*.go')

check: wasm lint race ## what to run before a commit

compat: build ## the long compatibility runs: 20 power cuts, every client at full size
	LONG=1 ./compat-tests/test.sh

chaos: build ## faults of every kind on three nodes for CHAOS_TIME (20m) by CHAOS_SEED, and faults planted in dmq that have to be found
	cd compat-tests && $(GO) build -o ../.cache/bin/compat ./cmd/compat
	DMQ_BIN=bin/dmq .cache/bin/compat chaos -duration $(CHAOS_TIME) $(addprefix -seed ,$(CHAOS_SEED))
	.cache/bin/compat faults -chaos

fuzz: ## each fuzz target for FUZZTIME (20s)
	./compat-tests/fuzz.sh

bench: ## the benchmarks beside the code
	$(GO) test -run '^$$' -bench . -benchmem ./...

docs: ## rewrite the generated parts of docs/
	$(GO) generate ./...

clean: ## remove what was built (never data)
	rm -rf bin dist
