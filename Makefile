# fmt lint test race fuzz bench docs
GO ?= go

.PHONY: all fmt lint test race fuzz bench docs
all: fmt lint test

fmt:
	gofmt -l -w .

lint:
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	$(GO) test ./internal/lint

test:
	$(GO) test ./...

race:
	$(GO) test -race ./...

# Runs every fuzz target for FUZZTIME.
FUZZTIME ?= 20s
fuzz:
	@$(GO) list ./... | while read -r p; do \
		$(GO) test -list '^Fuzz' "$$p" | grep '^Fuzz' | while read -r f; do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) "$$p" || exit 1; \
		done || exit 1; \
	done

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# Writes the generated part of docs/engines.md.
docs:
	$(GO) test ./internal/docs -update
