#include "api.h"

#include "api_people.h"

/* ---- lists ---- */

/* GET /api/friends -> page of {user, since}. */
bool friends_list(struct request *req, struct reply *reply, struct err *err)
{
    return people_list(req, reply, LIST_FRIENDS, err);
}

/* GET /api/friends/requests?direction=in or out -> page of {user, sent_at}; in when not said. */
bool friend_requests_list(struct request *req, struct reply *reply, struct err *err)
{
    const char *direction = http_query(req, "direction");
    if (!direction || strcmp(direction, "in") == 0)
        return people_list(req, reply, LIST_RECEIVED, err);
    if (strcmp(direction, "out") == 0)
        return people_list(req, reply, LIST_SENT, err);
    return err_add_field(err, "direction", "in or out");
}

/* ---- changes ---- */

/* PUT /api/friends/requests/:user_id -> 201 {user, sent_at}; 200 the same for a repeat; 200 {user, since} when the
 * other had asked: both are friends now. */
bool friend_request_put(struct request *req, struct reply *reply, struct err *err)
{
    return people_act(req, reply, ACTION_REQUEST, err);
}

/* DELETE /api/friends/requests/:user_id -> 204: takes my request back. */
bool friend_request_delete(struct request *req, struct reply *reply, struct err *err)
{
    return people_act(req, reply, ACTION_CANCEL, err);
}

/* POST /api/friends/requests/:user_id/accept -> 200 {user, since}. */
bool friend_request_accept(struct request *req, struct reply *reply, struct err *err)
{
    return people_act(req, reply, ACTION_ACCEPT, err);
}

/* POST /api/friends/requests/:user_id/reject -> 204. */
bool friend_request_reject(struct request *req, struct reply *reply, struct err *err)
{
    return people_act(req, reply, ACTION_REJECT, err);
}

/* DELETE /api/friends/:user_id -> 204. */
bool friend_delete(struct request *req, struct reply *reply, struct err *err)
{
    return people_act(req, reply, ACTION_REMOVE, err);
}
