#include "api_common.h"

bool wait_for_copy(struct request *req, const char *id, struct err *err)
{
    if (err_is(err, &ERR_NOT_FOUND) && account_is_young(id) && req->waited_ms < RECORD_WAIT_MS)
        return http_try_again(req, RECORD_LOOK_MS);
    return false;
}
