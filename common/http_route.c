#include "http_internal.h"

#include "mem.h"

#include <stdio.h>
#include <stdlib.h>

static bool wrong_route(struct err *err, const struct route *route, const char *why)
{
    return err_set_internal(err, &ERR_INTERNAL, "route %s %s: %s", route->method, route->path ? route->path : "", why);
}

/* Splits a template in place; `copy` belongs to the router. */
static bool compile(struct compiled_route *compiled, const struct route *route, char *copy, struct err *err)
{
    compiled->route = route;
    if (copy[0] != '/' || !route->handler)
        return wrong_route(err, route, "needs a path that starts with / and a handler");
    for (char *at = copy + 1; at && *at;) {
        char *slash = strchr(at, '/');
        if (slash)
            *slash = '\0';
        if (compiled->count == HTTP_SEGMENTS_MAX || compiled->rest)
            return wrong_route(err, route, "too many parts, or a part after the rest");
        size_t length = strlen(at), index = compiled->count++;
        if (*at == ':') {
            compiled->names[index] = at + 1;
            if (length > 3 && strcmp(at + length - 2, "..") == 0) {
                compiled->rest = true;
                at[length - 2] = '\0';
            }
        } else {
            compiled->segments[index] = at;
        }
        at = slash ? slash + 1 : NULL;
    }
    return true;
}

/* Routes are tried in this order: at the first part where two differ in kind, a literal goes first, the rest last. */
static int rank(const struct compiled_route *route, size_t part)
{
    if (part >= route->count)
        return 0;
    if (route->segments[part])
        return 1;
    return route->rest && part + 1 == route->count ? 3 : 2;
}

static int compare(const void *left, const void *right)
{
    const struct compiled_route *a = left, *b = right;
    for (size_t part = 0; part < a->count || part < b->count; part++) {
        int difference = rank(a, part) - rank(b, part);
        if (difference)
            return difference;
        if (a->segments[part] && b->segments[part]) {
            difference = strcmp(a->segments[part], b->segments[part]);
            if (difference)
                return difference;
        }
    }
    return strcmp(a->route->method, b->route->method);
}

static bool is_in(handler_fn handler, const handler_fn *list)
{
    while (list && *list && *list != handler)
        list++;
    return list && *list;
}

struct router *router_open(const struct route *routes, const handler_fn *quick, struct err *err)
{
    AUTO(router) router = MEM_NEW(router);
    while (routes[router->count].method)
        router->count++;
    router->routes = mem_new(router->count, sizeof *router->routes);
    router->owned = mem_new(router->count, sizeof *router->owned);
    for (size_t i = 0; i < router->count; i++) {
        router->owned[i] = mem_text(routes[i].path ? routes[i].path : "");
        if (!compile(&router->routes[i], &routes[i], router->owned[i], err))
            return NULL;
        router->routes[i].quick = is_in(routes[i].handler, quick);
    }
    qsort(router->routes, router->count, sizeof *router->routes, compare);
    for (size_t i = 1; i < router->count; i++) {
        if (compare(&router->routes[i - 1], &router->routes[i]) == 0) {
            wrong_route(err, router->routes[i].route, "is there twice");
            return NULL;
        }
    }
    return TAKE(router);
}

void router_release(struct router **router)
{
    if (!*router)
        return;
    for (size_t i = 0; i < (*router)->count; i++)
        free((*router)->owned[i]);
    free((*router)->owned);
    free((*router)->routes);
    free(*router);
    *router = NULL;
}

static bool matches(const struct compiled_route *route, const struct http_path *path)
{
    if (route->rest ? path->count < route->count : path->count != route->count)
        return false;
    for (size_t i = 0; i < route->count; i++) {
        if (route->segments[i] && strcmp(route->segments[i], path->segments[i]) != 0)
            return false;
    }
    return true;
}

static void allow_add(char *allow, const char *method)
{
    size_t length = strlen(allow);
    if (!strstr(allow, method) && length + strlen(method) + 3 < sizeof((struct http_exchange *)0)->allow)
        (void)sprintf(allow + length, "%s%s", length ? ", " : "", method);
}

struct compiled_route *router_find(const struct router *router, const char *method, const struct http_path *path,
                                   char *allow, struct err *err)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    *allow = '\0';
    for (size_t i = 0; i < router->count; i++) {
        struct compiled_route *route = &router->routes[i];
        if (!matches(route, path))
            continue;
        if (strcmp(route->route->method, wanted) == 0)
            return route;
        allow_add(allow, route->route->method);
        if (strcmp(route->route->method, "GET") == 0)
            allow_add(allow, "HEAD");
    }
    if (*allow)
        err_set(err, &ERR_METHOD, "Allowed here: %s", allow);
    else
        err_set(err, &ERR_NOT_FOUND, "There is nothing at this path");
    return NULL;
}
