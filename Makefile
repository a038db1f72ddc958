# oneloop: every target installs the Debian packages it lacks, then calls CMake.
# JOBS=n compiles n files at once, PREFIX=DIR is where `make install` puts things,
# ARGS=... is handed to ctest, FUZZ_SECONDS=n is how long each fuzzer runs.

JOBS ?= $(shell nproc)
TEST_JOBS ?= 2
PREFIX ?= /usr/local
ARGS ?=
FUZZ_SECONDS ?= 60
# Warnings are errors in CI, except under sanitizers, where g++ warns about its own instrumentation.
STRICT = $(and $(filter true 1,$(CI)),$(filter release shared clang,$(1)))
CONFIGURE = cmake --preset $(1) $(if $(filter shared,$(1)),,-DONELOOP_TESTS=ON) -DONELOOP_WERROR=$(if $(STRICT),ON,OFF) --log-level=WARNING >/dev/null
BUILD = cmake --build build/$(1) -j $(JOBS)
CTEST = tools/ctest --test-dir build/$(1) -j $(TEST_JOBS) --output-on-failure --no-label-summary $(ARGS)
# The suites for the second compiler.
MODELS = base loop scope sync channel task fiber deferred thread
# What handles memory: the suites for the address sanitizer. (Not those that put the same parts to work on
# several threads at once, and not those beside other programs.)
OWNING = $(MODELS) net protocol process url http html check testing
OWNING_ALONE = tool_test tool_check_test tool_crawl_test tool_get_test tool_model_test rules_test random_programs_test \
               crawl_limits_test crawl_sites_test chaos_test
OWNING_TARGETS = $(OWNING:%=oneloop_%_test) oneloop_app_test $(OWNING_ALONE)
OWNING_LABELS = $(call LABELS,$(OWNING) app rules $(OWNING_ALONE))
# What crosses threads: the suites for the thread sanitizer.
CROSSING_TARGETS = $(MODELS:%=oneloop_%_test) oneloop_net_test matrix_sync_test matrix_channel_test \
                   matrix_locks_test matrix_meeting_test matrix_socket_test matrix_million_test \
                   matrix_turn_test mixed_test rules_test linearizable_lines_test \
                   linearizable_locks_test random_programs_test
empty :=
LABELS = -L '^($(subst $(empty) $(empty),|,$(1)))$$'
CROSSING_LABELS = $(call LABELS,$(MODELS) net matrix_.* mixed_.* rules linearizable_.*_test random_programs_test)
# g++ 12's thread sanitizer does not start under a high-entropy address layout.
PLAIN_LAYOUT = $$(setarch -R true 2>/dev/null && echo setarch -R)

.DEFAULT_GOAL := help
.PHONY: help demo build test bench examples asan tsan shared clang fuzz lint docs format install clean

help: ## print this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

demo: ## build the tool and check 200 URLs, one at a time, all at once, in each model
	@tools/packages build
	@cmake --preset release -DONELOOP_TESTS=OFF --log-level=WARNING >/dev/null
	@$(call BUILD,release) --target oneloop
	@build/release/bin/oneloop demo

build: ## build everything (release)
	@tools/packages build test bench
	@$(call CONFIGURE,release)
	@$(call BUILD,release)

test: ## build release and run every test
	@tools/packages build test
	@$(call CONFIGURE,release)
	@$(call BUILD,release)
	@$(call CTEST,release)

bench: ## the benchmarks beside their peers, into bench/RESULTS.md (ARGS="echo --peers go": only that, and no page)
	@tools/packages build test bench peers
	@$(call CONFIGURE,release)
	@$(call BUILD,release) --target bench oneloop
	@bench/run $(or $(ARGS),--write bench/RESULTS.md)

examples: ## build the examples into build/release/examples
	@tools/packages build test
	@$(call CONFIGURE,release)
	@$(call BUILD,release) --target examples
	@find build/release/examples -type f -perm -u+x | sort

asan: ## what handles memory, under the address and undefined-behaviour sanitizers
	@tools/packages build test
	@$(call CONFIGURE,asan)
	@$(call BUILD,asan) --target $(OWNING_TARGETS)
	@$(call CTEST,asan) $(OWNING_LABELS)

tsan: ## what crosses threads, under the thread sanitizer
	@tools/packages build test
	@$(call CONFIGURE,tsan)
	@$(call BUILD,tsan) --target $(CROSSING_TARGETS)
	@$(PLAIN_LAYOUT) $(call CTEST,tsan) $(CROSSING_LABELS)

shared: ## build shared libraries and a program against them
	@tools/packages build test
	@$(call CONFIGURE,shared)
	@$(call BUILD,shared)
	@tests/consumer/run build/shared

clang: ## build the tool with clang 16 and run the suites of the models and what is below them
	@tools/packages build test clang
	@$(call CONFIGURE,clang)
	@$(call BUILD,clang) --target oneloop $(MODELS:%=oneloop_%_test)
	@$(call CTEST,clang) $(call LABELS,$(MODELS))

fuzz: ## every fuzzer for FUZZ_SECONDS (60), two at a time
	@tools/packages build clang
	@cmake --preset fuzz --log-level=WARNING >/dev/null
	@$(call BUILD,fuzz) --target fuzzers
	@FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz/run build/fuzz

lint: ## layout, format, coroutine pitfalls, lengths of the examples, headers, clang-tidy, words
	@tools/packages build test bench lint
	@$(call CONFIGURE,release)
	@tools/lint/run build/release

docs: ## compile the snippets of the pages and follow their links
	@tools/packages build test
	@tools/check-docs

format: ## format every source file in place
	@tools/packages lint
	@tools/sources cpp | grep -v '^tools/lint/fixtures/' | xargs clang-format-19 -i

install: ## build and install under PREFIX (default /usr/local)
	@tools/packages build
	@cmake --preset release -DONELOOP_TESTS=OFF -DONELOOP_EXAMPLES=OFF -B build/install --log-level=WARNING >/dev/null
	@$(call BUILD,install)
	@cmake --install build/install --prefix "$(PREFIX)" >/dev/null
	@echo "installed in $(PREFIX): bin/oneloop with its manual page and completions, include/oneloop, libraries, CMake and pkg-config files"

clean: ## remove what was built
	rm -rf build
