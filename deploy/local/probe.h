/* probe.h - does it answer? Each call asks once and comes back within about a second. */
#ifndef MADANG_LOCAL_PROBE_H
#define MADANG_LOCAL_PROBE_H

#include <stdbool.h>

bool probe_postgres(const char *url);
bool probe_redis(const char *url);     /* redis://host:port */
bool probe_kafka(const char *brokers); /* metadata with at least one broker */
/* GET <address>/readyz is 200; address = http://127.0.0.1:port. */
bool probe_readyz(const char *address);

/* Nobody listens on the port: a server could bind it now. */
bool probe_port_free(const char *host, int port);

#endif
