# fmt lint test race fuzz bench docs
GO ?= go

# The module and those nested in it, which ./... leaves out.
MODULES := . $(sort $(patsubst %/go.mod,%,$(shell find . -mindepth 2 -name go.mod -not -path '*/testdata/*')))
export GOWORK = off

# Runs a command in each of them; the first that fails is the last.
each = @for m in $(MODULES); do echo "== $$m: $(1)"; (cd $$m && $(1)) || exit 1; done

.PHONY: all fmt lint test race fuzz bench docs
all: fmt lint test

fmt:
	gofmt -l -w .

lint:
	$(call each,$(GO) vet ./...)
	$(call each,$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...)
	$(GO) test ./internal/lint

test:
	$(call each,$(GO) test ./...)

race:
	$(call each,$(GO) test -race ./...)

# Runs every fuzz target for FUZZTIME.
FUZZTIME ?= 20s
fuzz:
	@for m in $(MODULES); do (cd $$m && $(GO) list ./... | while read -r p; do \
		$(GO) test -list '^Fuzz' "$$p" | grep '^Fuzz' | while read -r f; do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) "$$p" || exit 1; \
		done || exit 1; \
	done) || exit 1; done

# Measures the clients side by side, for some 15 minutes, and writes
# docs/performance.md. BENCHFLAGS="-quick" shows that it runs.
BENCHFLAGS ?= -write ../docs/performance.md
bench:
	cd bench && $(GO) run . $(BENCHFLAGS)

# Writes the generated part of docs/engines.md.
docs:
	$(GO) test ./internal/docs -update
