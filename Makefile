# make          builds target/release/etherws
# make demo     shows the main job: two hosts, two switches, a tunnel
# make test     runs everything that a change must pass
# make bench    compares speed with the kernel and other tunnels, in under 20 minutes
# make install  copies the program to $(PREFIX)/bin

CARGO ?= cargo
PREFIX ?= /usr/local

# What the foreign programs are unpacked to, and where skipped tests are noted.
PEERS := target/peers
SKIPPED := target/tmp/skipped

.PHONY: all demo bench test check suite tools peers install

all:
	$(CARGO) build --release --locked

demo: all
	demo/run.sh target/release/etherws

# BENCH='--quick' for less; bench/run --help.
bench: all
	bench/run $(BENCH)

install: all
	install -D -m 755 target/release/etherws $(DESTDIR)$(PREFIX)/bin/etherws

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

# Foreign programs in Python, among them the original.
peers:
	@python3 tests/peers/setup.py $(PEERS) || \
	    echo 'Tests against foreign programs in Python will be skipped.' >&2
