/* api.h - the handlers of chat-svc, by room of the API; the table is in routes.c. */
#ifndef MADANG_CHAT_API_H
#define MADANG_CHAT_API_H

#include "http.h"

extern const struct route CHAT_ROUTES[];

/* api_rooms.c */
bool room_create(struct request *req, struct reply *reply, struct err *err);
bool room_list(struct request *req, struct reply *reply, struct err *err);
bool room_view(struct request *req, struct reply *reply, struct err *err);
bool room_change(struct request *req, struct reply *reply, struct err *err);
bool room_mute(struct request *req, struct reply *reply, struct err *err);
/* api_members.c */
bool members_add(struct request *req, struct reply *reply, struct err *err);
bool member_remove(struct request *req, struct reply *reply, struct err *err);
/* api_messages.c */
bool message_send(struct request *req, struct reply *reply, struct err *err);
bool message_list(struct request *req, struct reply *reply, struct err *err);
bool message_edit(struct request *req, struct reply *reply, struct err *err);
bool message_delete(struct request *req, struct reply *reply, struct err *err);
bool reaction_put(struct request *req, struct reply *reply, struct err *err);
bool reaction_delete(struct request *req, struct reply *reply, struct err *err);
/* api_read.c */
bool room_read(struct request *req, struct reply *reply, struct err *err);
bool unread_view(struct request *req, struct reply *reply, struct err *err);
bool message_search(struct request *req, struct reply *reply, struct err *err);
/* api_files.c */
bool file_put(struct request *req, struct reply *reply, struct err *err);
bool file_view(struct request *req, struct reply *reply, struct err *err);
bool file_get(struct request *req, struct reply *reply, struct err *err);

#endif
