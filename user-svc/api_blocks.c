#include "api.h"

#include "api_people.h"

/* GET /api/blocks -> page of {user, since}: those I block, not those who block me. */
bool blocks_list(struct request *req, struct reply *reply, struct err *err)
{
    return people_list(req, reply, LIST_BLOCKS, err);
}

/* PUT /api/blocks/:user_id -> 204, again too. Ends friendship and pending requests, both ways. */
bool block_put(struct request *req, struct reply *reply, struct err *err)
{
    return people_act(req, reply, ACTION_BLOCK, err);
}

/* DELETE /api/blocks/:user_id -> 204, also when there was none. Restores nothing. */
bool block_delete(struct request *req, struct reply *reply, struct err *err)
{
    return people_act(req, reply, ACTION_UNBLOCK, err);
}
