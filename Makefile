# make          builds target/release/etherws
# make demo     shows the main job: two hosts, two switches, a tunnel, the page
# make check    the quick part of the tests: format, lints, packages, documents, unit tests
# make test     what a change must pass, in under 20 minutes
# make lab      tests that want a browser, or machines with a systemd of their own
# make bench    compares speed with the kernel and other tunnels, in under 20 minutes
# make bench-scale   measures thousands of sessions and addresses, in under 20 minutes
# make bench-links   measures several links for one port, in under 20 minutes
# make bench-compare BASE=commit   compares speed with an older commit
# make fuzz     runs each fuzz target for FUZZ_SECONDS=60
# make soak     runs two switches under all kinds of load for SECONDS=600
# make docs     writes docs/openrpc.json, the reference in docs/rpc.md and its examples
# make install  copies program, man pages and completions to $(PREFIX)
# make deb      builds a Debian package with the service in target/debian
# make portable builds a program for any Linux, and an archive with it, in target/portable
# make image    builds an image for containers of that program, in target/portable

CARGO ?= cargo
PREFIX ?= /usr/local

# Cargo's folder, wherever it is.
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Cargo puts what it builds for another machine into a folder of its own.
BUILT := $(TARGET)/$(addsuffix /,$(CARGO_BUILD_TARGET))release
ETHERWS := $(BUILT)/etherws

# What the foreign programs are unpacked to, and where skipped tests are noted.
PEERS := $(TARGET)/peers
SKIPPED := $(TARGET)/tmp/skipped

.PHONY: all demo bench bench-scale bench-links bench-compare fuzz soak docs manual install copy deb \
    portable image test check lab format lints features doc deny imports documents unit suite tools \
    peers notices cargo-deb

all:
	$(CARGO) build --release --locked

demo:
	@tests/tools.sh demo
	$(CARGO) build --release --locked
	demo/run.sh $(ETHERWS)

# BENCH='--quick' for less; bench/run --help.
bench: all
	bench/run $(BENCH)

bench-scale: all
	@tests/tools.sh bench
	bench/run --scale $(BENCH)

bench-links: all
	@tests/tools.sh bench
	bench/run --links $(BENCH)

# BENCH='--rounds 30' for narrower intervals; bench/compare --help.
BASE ?= $(error name the commit to compare with: make bench-compare BASE=main)

bench-compare:
	@tests/tools.sh bench
	bench/compare $(BENCH) $(BASE)

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
	ETHERWS_DOCS=write $(CARGO) test --locked --test suite -- api::the_ ::the_table

# Man pages and completions, from the program itself. cargo-deb looks for them here.
MANUAL := $(BUILT)/manual

manual: all
	rm -rf $(MANUAL)
	$(ETHERWS) manual $(MANUAL)

SHARE := $(DESTDIR)$(PREFIX)/share

install: manual
	$(MAKE) -s copy

# What was built.
copy:
	install -D -m 755 $(ETHERWS) $(DESTDIR)$(PREFIX)/bin/etherws
	install -d $(SHARE)/man/man1
	install -m 644 $(MANUAL)/man1/*.1 $(SHARE)/man/man1
	install -D -m 644 $(MANUAL)/man5/etherws.toml.5 $(SHARE)/man/man5/etherws.toml.5
	install -D -m 644 $(MANUAL)/bash/etherws.bash $(SHARE)/bash-completion/completions/etherws
	install -D -m 644 $(MANUAL)/zsh/_etherws $(SHARE)/zsh/site-functions/_etherws
	install -D -m 644 $(MANUAL)/fish/etherws.fish $(SHARE)/fish/vendor_completions.d/etherws.fish

# 2.0.0-dev comes before 2.0.0: for Debian that is a tilde.
DEB_VERSION = $(subst -,~,$(lastword $(shell $(ETHERWS) --version)))-1

deb: manual notices cargo-deb
	gzip -9n $(MANUAL)/man?/*
	$(CARGO) deb --no-build --strip --locked --deb-version '$(DEB_VERSION)'

# The licenses of all that is in the program, from the sources that it was built of.
NOTICES := $(BUILT)/THIRD-PARTY

notices:
	mkdir -p $(dir $(NOTICES))
	python3 packaging/notices.py $(CARGO_BUILD_TARGET) >$(NOTICES)

# ARCH=aarch64 or x86_64 for a machine that is not this one.
ARCH ?= $(shell uname -m)

portable:
	packaging/portable.sh $(ARCH)

image: portable
	packaging/image.py $(ARCH)

cargo-deb:
	@$(CARGO) deb --version >/dev/null 2>&1 || $(CARGO) install cargo-deb --locked

# Each part can be made by itself; `make -k test` goes on after one that failed.
test: tools peers check suite

check: format lints features doc deny imports documents unit

format:
	$(CARGO) fmt --all --check

# Warnings are errors, among them what Rust has only since a version later than ours.
lints:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

# Who embeds a switch with ports in memory only needs neither TLS nor a C compiler.
features:
	! $(CARGO) tree --locked -p etherws-actors --no-default-features -e normal,build | \
	    grep -E 'rustls|aws-lc|cmake|rtnetlink'
	$(CARGO) check --locked -p etherws-actors --lib --no-default-features

doc:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked

# What may be in the tree of packages: deny.toml. A build that is not optimized does, and
# takes half the time. Advisories are a repository elsewhere, which is not always reached.
deny:
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install cargo-deny --locked --debug || \
	    echo 'SKIPPED: deny: cargo-deny is not installed and could not be built'
	@! $(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) deny check bans licenses sources
	@! $(CARGO) deny --version >/dev/null 2>&1 || \
	    if timeout 60 $(CARGO) deny fetch db >/dev/null 2>&1; \
	    then $(CARGO) deny check advisories; \
	    else echo 'SKIPPED: deny: the advisories could not be fetched'; fi

# Tests by name, in nextest's language: `suite` runs all that no other part has.
IMPORTS := test(/\bimports\b/)
DOCUMENTS := binary_id(etherws::suite) & test(/^(api::(examples::|the_)|documents::|observe::metrics::the_table)/)
UNIT := not binary_id(etherws::suite)
LAB := binary_id(etherws::suite) & test(/^(web::(page|managed|users)|packaging::(package|portable))::/)

# cargo-nextest runs each test as a process. Without it `suite` runs all, by cargo's own
# runner.
NEXTEST = $(shell $(CARGO) nextest --version 2>/dev/null)

# Runs some tests; what was skipped stands at the end.
define run
@mkdir -p $(TARGET)/tmp && rm -f $(SKIPPED)
@status=0; set -x; $(1) || status=$$?; \
{ set +x; } 2>/dev/null; \
[ ! -s $(SKIPPED) ] || sort -u $(SKIPPED); \
exit $$status
endef
tests = $(if $(NEXTEST),$(call run,$(CARGO) nextest run --workspace --locked --no-tests=pass \
    -E '$(1)'),@echo 'cargo-nextest is not installed: these tests are run by `make suite`')

imports:
	$(call tests,$(IMPORTS))

documents:
	$(call tests,$(DOCUMENTS))

unit:
	$(call tests,($(UNIT)) - ($(IMPORTS)))
	$(CARGO) test --workspace --doc --locked

suite:
	$(if $(NEXTEST),$(call tests,all() - ($(IMPORTS)) - ($(DOCUMENTS)) - ($(UNIT)) - ($(LAB))),\
	    $(call run,$(CARGO) test --workspace --all-targets --locked))

# Their tools are large: a browser, and what builds packages. What `make image` has built is tried
# as well, if it is there.
lab: tools peers cargo-deb
	@tests/tools.sh lab
	$(call tests,$(LAB))

# Programs that the tests start. Installed where that is allowed, named where not.
tools:
	@tests/tools.sh test

# Foreign programs in Python, among them the original.
peers:
	@python3 tests/peers/setup.py $(PEERS) || \
	    echo 'Tests against foreign programs in Python will be skipped.' >&2
