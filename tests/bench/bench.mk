# Benchmarks: one command each, the peer beside ours in one run. Figures and their conditions: tests/bench/README.md.

BENCH_BUILD := $(BUILD)/bench
BENCH_TOOLS := $(patsubst tests/bench/%.c,$(BENCH_BUILD)/%,$(filter-out $(wildcard tests/bench/bench_*.c),$(wildcard tests/bench/*.c)))

$(BENCH_BUILD)/%: tests/bench/%.c tests/bench/client.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -g $(WARNINGS) -D_GNU_SOURCE -o $@ $<
$(BENCH_BUILD)/bench_%: tests/bench/bench_%.c $(COMMON)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MF $@.d $(LDFLAGS) -o $@ $< $(COMMON) $(LIBS)

$(BENCH_BUILD)/bench_chat_owner: tests/bench/bench_chat_owner.c $(SUPPORT) $(call objects_of,chat-svc) $(COMMON)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests/support -Itests/chat-svc -Ichat-svc -MF $@.d $(LDFLAGS) -o $@ $(filter %.c %.o %.a,$^) $(LIBS)

$(BENCH_BUILD)/bench_book: tests/bench/bench_book.c $(call objects_of,match-svc) $(COMMON)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Imatch-svc -MF $@.d $(LDFLAGS) -o $@ $(filter %.c %.o %.a,$^) $(LIBS)

$(BENCH_BUILD)/bench_settle: tests/bench/bench_settle.c $(SUPPORT) $(call objects_of,order-svc) $(patsubst %.c,$(BUILD)/%.o,$(wildcard match-svc/book*.c)) $(COMMON)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests/support -Itests/order-svc -Iorder-svc -MF $@.d $(LDFLAGS) -o $@ $(filter %.c %.o %.a,$^) $(LIBS)

.PHONY: bench-ready bench-unread bench-doors bench-reconnect bench-sse bench-feeds bench-settle bench-book bench-sockets bench-tools bench-gateway bench-friends bench-memory bench-token bench-push bench-chat-owner bench-history bench-trading
bench-tools: $(BENCH_TOOLS)
bench-gateway: build bench-tools ## gateway against HAProxy (HS256, ES256) and nginx
	deploy/local/install.sh bench
	node tests/bench/gateway.mjs $(BUILD)
bench-friends: build bench-tools ## GET /api/friends through the gateway, against pgbench
	deploy/local/install.sh bench
	node tests/bench/friends.mjs $(BUILD)
bench-feeds: $(BUILD)/bin/match-svc bench-tools ## what 1,000 viewers of a market cost match-svc alone (make stores first)
	BUILD=$(BUILD) node tests/bench/feeds.mjs
bench-memory: build bench-tools ## PSS of every daemon at rest, and 1,000 idle tunnels
	node tests/bench/memory.mjs $(BUILD)
bench-ready: build ## how long the daemons of a whole stack take to be ready, on brand-new stores and again
	node tests/bench/ready.mjs $(BUILD)
bench-token: $(BENCH_BUILD)/bench_token ## one token: cached and not
	$<
bench-push: $(BUILD)/bin/push-svc ## pushes a second against a stand-in for FCM, and CPU a send (make stores first)
	BUILD=$(BUILD) node tests/bench/push.mjs
bench-chat-owner: $(BENCH_BUILD)/bench_chat_owner ## messages a second that one owner of chat rooms applies (make stores)
	set -a; . .run/env; $<
bench-settle: $(BENCH_BUILD)/bench_settle ## trades a second that settlement alone brings into PostgreSQL (make stores)
	set -a; . .run/env; $<
bench-book: $(BENCH_BUILD)/bench_book ## the order book engine alone: commands a second, nanoseconds of each
	$<
bench-history: build bench-tools ## a page of 50 from a chat room of 1,000,000 messages
	node tests/bench/history.mjs $(BUILD)
bench-trading: build bench-tools ## the trading game: the seed's own load, accepted and settled, one order, viewers, the market back after kill -9
	node tests/bench/trading.mjs $(BUILD)
bench: bench-token bench-gateway bench-friends bench-memory ## all of them
bench-sockets: $(BUILD)/bin/chat-svc bench-tools ## idle sockets, fan-out and latency of chat-svc (make stores first)
	BUILD=$(BUILD) node tests/bench/sockets.mjs $(BUILD)
bench-unread: $(BUILD)/bin/chat-svc ## how long two devices of one person differ about what is unread (make stores first)
	BUILD=$(BUILD) node tests/bench/unread.mjs
bench-doors: build bench-tools ## 10,000 sockets over two gateways, bytes of each apart (make stores first)
	BUILD=$(BUILD) node tests/bench/doors.mjs $(BUILD) idle
bench-reconnect: build bench-tools ## 5,000 clients that come back within 10 s through two gateways; presence (make stores first)
	BUILD=$(BUILD) node tests/bench/doors.mjs $(BUILD) reconnect
bench-sse: build bench-tools ## event streams held, bytes of each in notify-svc and in the gateway, how late a notice is (make stores first)
	BUILD=$(BUILD) node tests/bench/doors.mjs $(BUILD) streams
