# local.mk - the local stack: `make run`, `make up` and their kin. README.md beside this file says what they do.

STACK := BUILD=$(BUILD) deploy/local/stack.sh
SUPERVISE := $(BUILD)/bin/madang-supervise
INBOX := $(BUILD)/bin/madang-inbox
SUPERVISE_OBJECTS := $(patsubst %,$(BUILD)/deploy/local/%.o,supervise unit services strays runfiles probe client topics)

# A build that is silent when there is nothing to do, and otherwise says that it takes a moment.
quiet_build = @+$(MAKE) --no-print-directory -sq $(1) 2>/dev/null || echo "building into $(BUILD)"; \
	$(MAKE) --no-print-directory -s $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc)) $(1)

.PHONY: run up down restart stores stores-down status inbox clean-data

build: $(SUPERVISE) $(INBOX)

ifeq ($(SAN),thread)
# The tools are plain in this build: the sanitizer does not know librdkafka's threads, and the tools do without what common/kafka_conf.c does about it.
$(SUPERVISE) $(INBOX): $(BUILD)/bin/%: FORCE
	@mkdir -p $(@D)
	@$(MAKE) --no-print-directory -s SAN= build/$(notdir $(CC))/bin/$*
	cp build/$(notdir $(CC))/bin/$* $@
FORCE:
else
$(SUPERVISE): $(SUPERVISE_OBJECTS) $(patsubst %,$(BUILD)/common/%.o,kafka_topics kafka_conf log utf8 mem clock errors)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -lpq -lrdkafka

$(INBOX): $(BUILD)/deploy/local/inbox.o $(BUILD)/deploy/local/inbox_sinks.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -lrdkafka -lcjson -lpq
endif

install: ## what is missing on this machine, from Debian's packages
	@deploy/local/install.sh run
run: install ## everything in the foreground; Ctrl-C stops it
	$(call quiet_build,build)
	@$(STACK) run
up: install ## the same in the background; returns when every daemon is ready
	$(call quiet_build,build)
	@$(STACK) up
run-%: install ## one service in the foreground, beside what already runs
	$(call quiet_build,$(SUPERVISE) $(BUILD)/bin/$*)
	@$(STACK) one $*
down: ## stops all of it
	@$(STACK) down
restart: install ## the daemons alone, built anew; the stores stay
	$(call quiet_build,build)
	@$(STACK) daemons-down
	@$(STACK) up
status: ## a table of what runs
	@$(STACK) status
stores: install ## PostgreSQL, Redis and Kafka alone, in the background
	$(call quiet_build,$(SUPERVISE))
	@$(STACK) stores
stores-down: ## stops these
	@$(STACK) stores-down
inbox: ## TO=<address or user id>: what would have left by e-mail, SMS, push, Slack, newest first
	$(call quiet_build,$(INBOX))
	@$(STACK) inbox "$(TO)"
clean-data: ## forgets everything the local stack stored: data, secrets, logs
	@$(STACK) clean-data

$(BUILD)/tests/local/test_inbox: | $(INBOX)
