/* model.h - the order book a second time, slow and plain, to compare the engine with: arrays that are searched from end
 * to end, what is reserved is added up anew whenever it is asked for, and an order first plans what it takes and then
 * takes it. It shares no code with the engine, only the forms of commands and events. The rules are those of
 * docs/decisions/011. A MARKET_HASH event of the model carries no hash. */
#ifndef MADANG_TESTS_MATCH_MODEL_H
#define MADANG_TESTS_MATCH_MODEL_H

#include "market.h"

struct model;

struct model *model_open(size_t orders_max, size_t accounts_max);
void model_release(struct model **model);

typedef void (*model_emit_fn)(void *payload, const struct market_event *event);
void model_apply(struct model *model, const struct market_command *command, model_emit_fn emit, void *payload);

#endif
