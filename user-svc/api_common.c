#include "api_common.h"

#include "clock.h"

bool wait_for_copy(struct request *req, const char *id, struct err *err)
{
    const int64_t age_ms = clock_now_ms() - uuid_time_ms(id);
    const bool young = age_ms < COPY_YOUNG_MS && age_ms > -COPY_YOUNG_MS;
    if (err_is(err, &ERR_NOT_FOUND) && young && req->waited_ms < COPY_WAIT_MS)
        return http_try_again(req, COPY_LOOK_MS);
    return false;
}
