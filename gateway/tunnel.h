/* tunnel.h - after 101: bytes both ways, unread by us, until either side ends or nothing moved for TUNNEL_IDLE_MS.
 * Each direction stops while the receiver does not keep up; at rest a tunnel holds no buffer. */
#ifndef GATEWAY_TUNNEL_H
#define GATEWAY_TUNNEL_H

#include "exchange.h"

/* The 101 was passed on; `early` is what came behind it. */
void tunnel_begin(struct exchange *exchange, struct view early);
void tunnel_from_client(struct exchange *exchange);
void tunnel_from_channel(struct exchange *exchange);
/* The instance's side has ended: what is left goes out, then the client's connection ends. */
void tunnel_end(struct exchange *exchange);

#endif
