/* keeper.h - the background thread: reads the signing keys again, and, on one instance at a time, cleans up. */
#ifndef AUTH_KEEPER_H
#define AUTH_KEEPER_H

#include "app.h"

struct keeper;
struct keeper *keeper_start(const struct auth_app *app, struct err *err);
void keeper_release(struct keeper **keeper);

#endif
