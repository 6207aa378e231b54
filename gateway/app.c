#include "app.h"

struct routes *gateway_routes(struct gateway *gateway)
{
    (void)pthread_mutex_lock(&gateway->lock);
    struct routes *routes = routes_share(gateway->routes);
    (void)pthread_mutex_unlock(&gateway->lock);
    return routes;
}
