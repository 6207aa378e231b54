/* Bytes as commands to the engine and the model: they tell the same, and book_check is content after each command; at
 * the end the engine is saved and restored. The first byte says how the market is: bit 0 size rule, bits 1-2 companies,
 * bit 3 few orders allowed, bit 4 prices near the end of 64 bits. Then each command is a byte of kind and account, and
 * the bytes it needs; ids are numbers, so that amends, cancels and repeats meet what was placed. */
#include "../match-svc/book_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COMMANDS_MAX = 400 };

struct input {
    const uint8_t *at, *end;
};

static unsigned byte(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static void must(bool ok, const char *why)
{
    if (ok)
        return;
    (void)fprintf(stderr, "%s\n", why);
    abort();
}

static struct uuid numbered(char kind, unsigned number)
{
    return (struct uuid){{(unsigned char)kind, (unsigned char)number}};
}

static void open_market(struct market_command *command, unsigned form)
{
    const int64_t tick = form & 16 ? INT64_C(1) << 34 : 10;
    command->kind = MARKET_OPEN;
    command->open.seed_cash = tick * 500;
    command->open.tick = command->open.price_min = tick;
    command->open.price_max = tick * 100;
    command->open.size_rule = form & 1;
    command->open.company_count = (uint8_t)(1 + (form >> 1 & 3));
    for (int i = 0; i < command->open.company_count; i++)
        command->open.companies[i] = (struct market_company){numbered('c', (unsigned)i), tick * 50};
}

/* 0 to 100 ticks mostly, and what is beside them. */
static int64_t price_of_byte(unsigned byte_, unsigned form)
{
    const int64_t tick = form & 16 ? INT64_C(1) << 34 : 10;
    return byte_ == 255   ? INT64_MIN
           : byte_ == 254 ? INT64_MAX
           : byte_ == 253 ? 15
           : byte_ == 252 ? -tick
                          : tick * (byte_ % 102);
}

static int64_t quantity_of_byte(unsigned byte_)
{
    return byte_ == 255 ? INT64_MIN : byte_ == 254 ? MARKET_QUANTITY_MAX : byte_ == 253 ? INT64_MAX : byte_ % 40;
}

static void read_place(struct input *input, struct market_order *order, unsigned account, unsigned form, char text[2])
{
    const unsigned how = byte(input), id = byte(input), client = byte(input) % 16;
    order->order_id = numbered('o', id);
    order->account = numbered('a', account);
    order->bot = account >= 6;
    order->side = how & 1;
    order->type = how >> 1 & 1;
    order->tif = (uint8_t)((how >> 2 & 3) % 3);
    order->post_only = (how >> 4 & 7) == 0;
    order->company = (uint8_t)(how >> 7 ? byte(input) : 0);
    order->price = order->type == TYPE_MARKET && how >> 4 & 1 ? 0 : price_of_byte(byte(input), form);
    order->quantity = quantity_of_byte(byte(input));
    text[0] = (char)('A' + client);
    order->client_order_id = (struct view){text, client < 8};
}

static struct market_command read_command(struct input *input, unsigned form, char text[2])
{
    static const enum market_command_kind KINDS[] = {
        MARKET_PLACE,      MARKET_PLACE,   MARKET_PLACE,   MARKET_PLACE,   MARKET_PLACE,  MARKET_PLACE,  MARKET_PLACE,
        MARKET_PLACE,      MARKET_PLACE,   MARKET_PLACE,   MARKET_PLACE,   MARKET_PLACE,  MARKET_AMEND,  MARKET_AMEND,
        MARKET_AMEND,      MARKET_AMEND,   MARKET_AMEND,   MARKET_AMEND,   MARKET_CANCEL, MARKET_CANCEL, MARKET_CANCEL,
        MARKET_CANCEL_ALL, MARKET_DEPOSIT, MARKET_DEPOSIT, MARKET_DEPOSIT, MARKET_HALT,   MARKET_HALT,   MARKET_START,
        MARKET_START,      MARKET_CLOSE,   MARKET_OPEN,    MARKET_OPEN,
    };
    const unsigned head = byte(input), account = head >> 5;
    struct market_command command = {.kind = KINDS[head & 31]};
    command.order.client_order_id = (struct view){"", 0};
    switch (command.kind) {
    case MARKET_PLACE:
        read_place(input, &command.order, account, form, text);
        break;
    case MARKET_AMEND:
        command.order.price = price_of_byte(byte(input), form);
        command.order.quantity = quantity_of_byte(byte(input));
        /* fall through */
    case MARKET_CANCEL:
        command.order.order_id = numbered('o', byte(input));
        command.order.account = numbered('a', account);
        break;
    case MARKET_CANCEL_ALL:
        command.cancel_all.account = numbered('a', account);
        break;
    case MARKET_DEPOSIT:
        command.deposit = (__typeof__(command.deposit)){.deposit_id = numbered('d', byte(input)),
                                                        .account = numbered('a', account | 6)};
        command.deposit.cash = price_of_byte(byte(input), form);
        command.deposit.company_count = 1 + byte(input) % 5;
        for (int i = 0; i < command.deposit.company_count; i++)
            command.deposit.shares[i] = quantity_of_byte(byte(input));
        break;
    case MARKET_HALT:
        command.halt.company = (uint8_t)(byte(input) % 6);
        command.halt.on = account & 1;
        break;
    case MARKET_OPEN:
        open_market(&command, form);
        break;
    default:
        break;
    }
    return command;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, data + size};
    const unsigned form = byte(&input);
    struct pair pair = pair_open(form & 8 ? 20 : 1000, form & 8 ? 4 : 100);
    struct err err = {0};
    struct market_command command = {0};
    open_market(&command, form);
    must(pair_apply(&pair, &command), "the model differs at open");
    for (int i = 0; i < COMMANDS_MAX && input.at < input.end; i++) {
        char text[2];
        command = read_command(&input, form, text);
        must(pair_apply(&pair, &command), "the model differs");
        must(book_check(pair.book, &err), err.message);
    }
    must(pair_restore(&pair, &err), err.message);
    pair_close(&pair);
    return 0;
}
