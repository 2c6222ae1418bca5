# The two commands of the README are `make trial` and `make test`.
GOLANGCI_LINT_VERSION := v2.15.0
VEGETA_VERSION        := v12.12.0

BIN     := bin
TOOLS   := $(CURDIR)/.cache/tools
LINT    := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)
VEGETA  := $(TOOLS)/vegeta-$(VEGETA_VERSION)
BENCHED := ./loadgen ./experiments/environment/process ./experiments/environment/docker ./experiments/environment/agent \
	./experiments/detect
BENCHES := Throughput|Rate|UpDown|Containers|Judge
PACKAGES := ./... ./testdata/orders/...
# The race detector needs a C compiler; without one the tests run all the same.
RACE    := $(shell command -v $${CC:-gcc} >/dev/null 2>&1 && echo -race)
SUBJECT := testdata/orders/seatrial.yaml

.PHONY: images trial test test-postgres test-long lint fmt bench build matrix matrix-all rates clean help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

trial: build ## try the reference service: the main job
	$(BIN)/seatrial run -f $(SUBJECT) --label main

# Static, so that it can be the agent in a container as it is.
build: ## compile seatrial into bin/
	CGO_ENABLED=0 go build -o $(BIN)/seatrial ./cmd/seatrial

# Packages run one after the other (-p 1): many of them start servers and look
# at times, and two cores are shared by all of it. The suites run without the
# race detector: it would slow the load generator and the agent, which they host,
# until guards call every run inconclusive. Of the trial, quick experiments are
# made; without the filter, all of the main job.
test: ## run all tests in their quick form
	go vet $(PACKAGES)
	go test $(RACE) -p 1 -timeout 20m $(filter-out %/suites,$(shell go list $(PACKAGES)))
	go test -timeout 20m ./suites/... -ginkgo.label-filter quick

# POSTGRES is a folder with the programs postgres and initdb of one version.
test-postgres: ## run what talks to PostgreSQL with the server in POSTGRES=DIR
	@test -x "$(POSTGRES)/initdb" || { echo "no initdb in POSTGRES=$(POSTGRES)"; exit 64; }
	PATH="$(POSTGRES):$$PATH" go test -count=1 -p 1 -timeout 10m ./faults ./experiments ./experiments/observe \
		./experiments/environment/postgres/... ./experiments/environment/agent/... ./testdata/orders/internal/store

test-long: ## run the tests that take long, too
	SEATRIAL_LONG=1 go test -p 1 -timeout 60m $(PACKAGES)

images: ## build local stand-ins for the images of a trial, where there is no registry
	testdata/images/make.sh

lint: $(LINT) ## hold the code to .golangci.yml
	$(LINT) run $(PACKAGES)

fmt: $(LINT) ## format the code
	$(LINT) fmt $(PACKAGES)

$(LINT):
	mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(TOOLS)/golangci-lint $@

# What is measured is measured beside vegeta's command; where it cannot be built
# (no network), beside its library.
bench: ## measure, as ratios within one run, and print one table
	@$(MAKE) --no-print-directory $(VEGETA) || echo "vegeta's command cannot be built; its library is used"
	@SEATRIAL_VEGETA=$$(ls $(VEGETA) 2>/dev/null) go test -run '^$$' -bench '$(BENCHES)' -benchtime 1x -p 1 -timeout 10m \
		$(BENCHED) 2>&1 | awk -f testdata/bench.awk

# A module of its own, so that go.mod need not list what only the command needs.
$(VEGETA):
	@rm -rf $(TOOLS)/vegeta && mkdir -p $(TOOLS)/vegeta
	@cd $(TOOLS)/vegeta && printf 'module vegeta\n\ngo 1.26\n\nrequire github.com/tsenart/vegeta/v12 $(VEGETA_VERSION)\n' >go.mod \
		&& go build -mod=mod -o $@ github.com/tsenart/vegeta/v12

matrix: ## try every mutant three to five times with its experiment (three hours; resumable)
	SEATRIAL_LONG=1 go test -run Matrix -count 1 -timeout 5h -v ./suites/...

matrix-all: ## the same, then every mutant with every other experiment (a day; resumable)
	SEATRIAL_LONG=all go test -run Matrix -count 1 -timeout 48h -v ./suites/...

# SEATRIAL_TRIALS=quiet=DIR:busy=DIR counts in the good service's trials that lie in these folders.
rates: ## try the good service 20 or 5 times with every experiment, quiet and busy (a night; resumable)
	SEATRIAL_LONG=rates go test -run '^TestRates$$' -count 1 -timeout 24h -v ./suites

clean: ## remove what was built and the trials
	rm -rf $(BIN) runs .cache
