# Madang. The two commands: `make run` and `make test`. `make help` lists the rest.
#
#   CC=gcc|clang   SAN=address|thread (address includes undefined)   T=room (tests of one room)
#
# Objects of each compiler and sanitizer stand apart under build/, so switching rebuilds nothing.

CC := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))
SAN ?=
BUILD := build/$(notdir $(CC))$(if $(SAN),-$(SAN))

SERVICES := auth-svc user-svc chat-svc presence-svc push-svc notify-svc match-svc order-svc game-svc
DAEMONS := gateway $(SERVICES)
ROOMS := $(SERVICES)

PACKAGES := libmicrohttpd libwebsockets rdkafka hiredis libpq libcjson libjwt libcurl openssl libargon2 libutf8proc
ifneq ($(or $(filter-out help install run up down status inbox clean,$(MAKECMDGOALS)),$(if $(MAKECMDGOALS),,build)),)
PACKAGE_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
endif
LIBS := -lmicrohttpd -lwebsockets -lev -lrdkafka -lhiredis -lpq -lcjson -ljwt -lcurl -lssl -lcrypto -largon2 -lutf8proc -lpthread -lm

WARNINGS := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wformat=2 -Wstrict-prototypes -Wundef -Werror
# clang's -Wformat=2 and gnu extensions that the code uses on purpose (statement expressions, , ##__VA_ARGS__)
ifneq ($(findstring clang,$(CC)),)
WARNINGS += -Wno-gnu-zero-variadic-macro-arguments
endif
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu11 $(CFLAGS) $(WARNINGS) -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -fno-omit-frame-pointer \
	-fstack-protector-strong -MMD -MP -Icommon $(PACKAGE_CFLAGS)
ifeq ($(SAN),)
ALL_CFLAGS += -D_FORTIFY_SOURCE=2
endif
ifeq ($(SAN),address)
ALL_CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined
LDFLAGS += -fsanitize=address,undefined
else ifeq ($(SAN),thread)
ALL_CFLAGS += -fsanitize=thread
LDFLAGS += -fsanitize=thread
endif
LDFLAGS += -Wl,-z,relro,-z,now -Wl,--as-needed
VERSION := 0.1.0

.PHONY: all build settings docs-page check test soak trace tidy format format-check headers fuzz bench help install clean
.DEFAULT_GOAL := build
.DELETE_ON_ERROR:

# ---- what is built -------------------------------------------------------------------------------------------------

COMMON_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard common/*.c)) $(BUILD)/common/migrations.o
COMMON := $(BUILD)/libcommon.a

# A room's objects without its main.o, so that tests link them.
objects_of = $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(1)/main.c,$(wildcard $(1)/*.c))) \
	$(if $(wildcard $(1)/migrations/*.sql),$(BUILD)/$(1)/migrations.o)

build: $(DAEMONS:%=$(BUILD)/bin/%) ## every daemon and tool

$(COMMON): $(COMMON_OBJECTS)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -I$(firstword $(subst /, ,$*)) -c $< -o $@

# The built-in routes are compiled in (.incbin), which -MMD does not see.
$(BUILD)/gateway/routes_default.o build/fuzz/gateway/routes_default.o: gateway/routes.conf

# auth-svc/migrations/*.sql -> AUTH_MIGRATIONS
define migration_rules
$(BUILD)/$(1)/migrations.c: $(wildcard $(1)/migrations/*.sql) deploy/build/embed.sh
	@mkdir -p $$(@D)
	deploy/build/embed.sh $(2)_MIGRATIONS $(sort $(wildcard $(1)/migrations/*.sql)) > $$@
$(BUILD)/$(1)/migrations.o: $(BUILD)/$(1)/migrations.c
	$$(CC) $$(ALL_CFLAGS) -c $$< -o $$@
endef
upper = $(shell echo $(1:-svc=) | tr a-z A-Z)
$(foreach room,common $(SERVICES),$(eval $(call migration_rules,$(room),$(call upper,$(room)))))

define daemon_rules
$(BUILD)/bin/$(1): $(BUILD)/$(1)/main.o $(call objects_of,$(1)) $(COMMON)
	@mkdir -p $$(@D)
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LIBS)
endef
$(foreach room,$(DAEMONS),$(eval $(call daemon_rules,$(room))))

# ---- tests in C: tests/<room>/test_<name>.c -> $(BUILD)/tests/<room>/test_<name> --------------------------------------

C_TEST_ROOMS := $(filter-out support fuzz bench e2e chaos,$(notdir $(patsubst %/,%,$(wildcard tests/*/))))
C_TESTS := $(patsubst %.c,$(BUILD)/%,$(foreach room,$(C_TEST_ROOMS),$(wildcard tests/$(room)/test_*.c)))
SUPPORT := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/support/*.c))

define test_rules
$(BUILD)/tests/$(1)/test_%.o: tests/$(1)/test_%.c
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_CFLAGS) -Itests/support -I$(1) -c $$< -o $$@
$(BUILD)/tests/$(1)/test_%: $(BUILD)/tests/$(1)/test_%.o $(SUPPORT) $(if $(filter common local,$(1)),,$(call objects_of,$(1))) $(COMMON)
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LIBS)
endef
$(foreach room,$(C_TEST_ROOMS),$(eval $(call test_rules,$(room))))
# Its sends are the test's: what becomes of records that can't leave.
$(BUILD)/tests/match-svc/test_depth $(BUILD)/tests/chat-svc/test_teller: LDFLAGS += -Wl,--wrap=kafka_send
# The slow second form of the order book, which its tests compare the engine with.
$(patsubst %,$(BUILD)/tests/match-svc/test_book_%,bounds random rules): $(patsubst %,$(BUILD)/tests/match-svc/%.o,model model_state)
# The tests of settlement settle what the real engine tells.
$(patsubst %,$(BUILD)/tests/order-svc/test_%,audit copies entry settle): $(patsubst %.c,$(BUILD)/%.o,$(wildcard match-svc/book*.c))
.SECONDARY:

c-tests: $(C_TESTS) ## builds the tests in C

# Each fuzzer: tests/fuzz/fuzz_<name>.c with corpus tests/fuzz/corpus/<name>/; clang with libFuzzer.
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BUILD := build/fuzz
FUZZ_CFLAGS := -std=gnu11 -O1 -g $(WARNINGS) -Wno-gnu-zero-variadic-macro-arguments -D_GNU_SOURCE -DVERSION='"$(VERSION)"' \
	-fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -MMD -MP -Icommon \
	-iquote gateway -iquote auth-svc -iquote match-svc $(PACKAGE_CFLAGS)
FUZZ_OBJECTS := $(patsubst %.c,$(FUZZ_BUILD)/%.o,$(wildcard common/*.c) $(filter-out gateway/main.c,$(wildcard gateway/*.c)) \
	auth-svc/idtoken.c chat-svc/wire.c chat-svc/stomp.c $(wildcard match-svc/book*.c) match-svc/feed_ask.c match-svc/feed_tell.c match-svc/depth_diff.c match-svc/scan.c match-svc/depth_wire.c match-svc/depth_trades.c) \
	$(FUZZ_BUILD)/migrations.o
$(FUZZ_BUILD)/%.o: %.c
	@mkdir -p $(@D)
	clang $(FUZZ_CFLAGS) -c $< -o $@
$(FUZZ_BUILD)/migrations.o: $(BUILD)/common/migrations.c
	@mkdir -p $(@D)
	clang $(FUZZ_CFLAGS) -c $< -o $@
$(FUZZ_BUILD)/libfuzzed.a: $(FUZZ_OBJECTS)
	@rm -f $@
	ar rcs $@ $^
$(FUZZ_BUILD)/fuzz_%: $(FUZZ_BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_BUILD)/libfuzzed.a
	clang -fsanitize=fuzzer,address,undefined -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)
$(FUZZ_BUILD)/fuzz_push: $(patsubst %,$(FUZZ_BUILD)/push-svc/%.o,codec fcm message outcome)
$(FUZZ_BUILD)/fuzz_book: $(patsubst %,$(FUZZ_BUILD)/tests/match-svc/%.o,model model_state)
$(FUZZ_BUILD)/fuzz_order: $(patsubst %,$(FUZZ_BUILD)/order-svc/%.o,catalog codec entry)
$(FUZZ_BUILD)/fuzz_slack: $(patsubst %,$(FUZZ_BUILD)/notify-svc/%.o,mime slack_event slack_text)
fuzzers: $(FUZZERS:%=$(FUZZ_BUILD)/fuzz_%) ## builds the fuzzers (clang)
FUZZ_SECONDS ?= 5
fuzz: fuzzers ## every fuzzer: its corpus, then FUZZ_SECONDS (5) each
	tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZERS)

# ---- checks ----------------------------------------------------------------------------------------------------------

SOURCES := $(wildcard common/*.[ch] gateway/*.[ch] $(ROOMS:%=%/*.[ch]) deploy/local/*.[ch] tests/*/*.[ch])
check: c-tests ## the tests in C alone (T=room for one room; stores must run: make stores)
	tests/run.sh c $(T)
test: install ## everything, from clean checkout to result (T=room for one room)
	tests/run.sh all $(T)
soak: install ## the long forms: valgrind, sanitizers, clang, chaos 10 min, fuzzers 60 s (STAGE=valgrind|asan|tsan|clang|chaos|rolling|book|fuzz|browser|images for one)
	tests/run.sh soak $(STAGE)
trace: ## every requirement id of what stands, with the tests that show it
	@tests/support/trace.sh
headers: ## each header compiles alone
	@for h in common/*.h gateway/*.h $(ROOMS:%=%/*.h); do \
		$(CC) $(ALL_CFLAGS) -MF /dev/null -I$$(dirname $$h) -fsyntax-only -x c $$h || exit 1; done; echo "headers: ok"
tidy: ## clang-tidy
	clang-tidy --quiet $(filter %.c,$(SOURCES)) -- -std=gnu11 -D_GNU_SOURCE -DVERSION='""' -Icommon -Igateway $(addprefix -I,$(ROOMS)) -Itests/support $(PACKAGE_CFLAGS) 2>/dev/null
settings: build ## docs/settings.md, from what the daemons say of themselves
	node deploy/build/settings.mjs $(BUILD) docs/settings.md
docs-page: ## deploy/docs/asyncapi.html, from docs/asyncapi.yaml
	node deploy/docs/asyncapi.mjs
format: ## clang-format, in place
	clang-format -i $(SOURCES)
format-check:
	clang-format --dry-run --Werror $(SOURCES)
help: ## this list
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'
clean: ## removes build/
	rm -rf build

-include deploy/local/local.mk
-include tests/bench/bench.mk
-include $(shell find $(BUILD) build/fuzz -name '*.d' 2>/dev/null)
