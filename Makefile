# make          builds target/release/etherws
# make demo     shows the main job: two hosts, two switches, a tunnel
# make test     runs everything that a change must pass
# make bench    compares speed with the kernel and other tunnels, in under 20 minutes
# make fuzz     runs each fuzz target for FUZZ_SECONDS=60
# make soak     runs two switches under all kinds of load for SECONDS=600
# make docs     writes docs/openrpc.json, the reference in docs/rpc.md and its examples
# make install  copies program, man pages and completions to $(PREFIX)
# make deb      builds a Debian package with the service in target/debian

CARGO ?= cargo
PREFIX ?= /usr/local

# What the foreign programs are unpacked to, and where skipped tests are noted.
PEERS := target/peers
SKIPPED := target/tmp/skipped

.PHONY: all demo bench docs fuzz soak test check suite tools peers manual install deb

all:
	$(CARGO) build --release --locked

demo: all
	demo/run.sh target/release/etherws

# BENCH='--quick' for less; bench/run --help.
bench: all
	bench/run $(BENCH)

# Each target of fuzz/ from its seeds; the stable toolchain does. What is found stands in
# fuzz/artifacts: copy it to fuzz/seeds/<target> when it is mended, and it stays a test.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))

fuzz:
	@$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install cargo-fuzz --locked
	cd fuzz && $(CARGO) fuzz build -O --sanitizer none
	@for target in $(FUZZ_TARGETS); do \
	    echo "== $$target"; \
	    mkdir -p fuzz/corpus/$$target; \
	    (cd fuzz && $(CARGO) fuzz run -O --sanitizer none $$target corpus/$$target \
	        seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1) \
	        || exit 1; \
	done

# Fails unless memory, descriptors and threads are at the end as at the start.
SECONDS ?= 600

soak: all
	bench/soak --seconds $(SECONDS)

# The tests that compare them write them instead: first the examples, which are asked of a
# running switch and become part of the program.
docs:
	ETHERWS_DOCS=write $(CARGO) test --locked --test suite -- api::examples
	ETHERWS_DOCS=write $(CARGO) test --locked --test suite -- api::the_

# Man pages and completions, from the program itself.
MANUAL := target/manual

manual: all
	rm -rf $(MANUAL)
	target/release/etherws manual $(MANUAL)

SHARE := $(DESTDIR)$(PREFIX)/share

install: manual
	install -D -m 755 target/release/etherws $(DESTDIR)$(PREFIX)/bin/etherws
	install -d $(SHARE)/man/man1
	install -m 644 $(MANUAL)/man1/*.1 $(SHARE)/man/man1
	install -D -m 644 $(MANUAL)/bash/etherws.bash $(SHARE)/bash-completion/completions/etherws
	install -D -m 644 $(MANUAL)/zsh/_etherws $(SHARE)/zsh/site-functions/_etherws
	install -D -m 644 $(MANUAL)/fish/etherws.fish $(SHARE)/fish/vendor_completions.d/etherws.fish

# 2.0.0-dev comes before 2.0.0: for Debian that is a tilde.
DEB_VERSION = $(subst -,~,$(lastword $(shell target/release/etherws --version)))-1

deb: manual
	@$(CARGO) deb --version >/dev/null 2>&1 || $(CARGO) install cargo-deb --locked
	$(CARGO) deb --no-build --strip --locked --deb-version '$(DEB_VERSION)'

test: tools peers check suite

# What needs no run: format, lints, documentation.
check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked

# All tests and examples. cargo-nextest runs each test as a process; without it cargo's
# own runner does.
suite:
	@mkdir -p target/tmp && rm -f $(SKIPPED)
	@status=0; \
	if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    $(CARGO) nextest run --workspace --locked || status=$$?; \
	else \
	    $(CARGO) test --workspace --all-targets --locked || status=$$?; \
	fi; \
	$(CARGO) test --workspace --doc --locked || status=$$?; \
	if [ -s $(SKIPPED) ]; then \
	    echo; sort -u $(SKIPPED); echo "$$(sort -u $(SKIPPED) | wc -l) tests were skipped"; \
	fi; \
	exit $$status

# Programs that the tests start. Installed where that is allowed, named where not.
tools:
	@tests/tools.sh
	@$(CARGO) deb --version >/dev/null 2>&1 || $(CARGO) install cargo-deb --locked || \
	    echo 'Tests of the Debian package will be skipped.' >&2

# Foreign programs in Python, among them the original.
peers:
	@python3 tests/peers/setup.py $(PEERS) || \
	    echo 'Tests against foreign programs in Python will be skipped.' >&2
