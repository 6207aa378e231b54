/* problems.h - what chat-svc refuses beyond the common problems. The codes are stable and stand in docs/errors.md. The
 * owner sends them as `code` of a verdict; chat_problem_by_code() finds them again. */
#ifndef MADANG_CHAT_PROBLEMS_H
#define MADANG_CHAT_PROBLEMS_H

#include "errors.h"

#define CHAT_PROBLEMS(X)                                                                                               \
    X(ERR_NOT_FRIENDS, "not_friends", 403, LOG_DEBUG, "Only friends can be in a room with you",                        \
      "친구만 초대할 수 있습니다")                                                                                     \
    X(ERR_BLOCKED, "blocked", 403, LOG_DEBUG, "One of you blocks the other", "차단된 상대입니다")                      \
    X(ERR_NOT_MANAGER, "not_manager", 403, LOG_DEBUG, "Only the room's manager can do this", "방장만 할 수 있습니다")  \
    X(ERR_NOT_YOURS, "not_yours", 403, LOG_DEBUG, "This is somebody else's message", "내 메시지가 아닙니다")           \
    X(ERR_SELF, "self", 422, LOG_DEBUG, "This can't be done with yourself", "자신에게는 할 수 없습니다")               \
    X(ERR_DM_FULL, "dm_full", 409, LOG_DEBUG, "A direct room has two members", "1:1 대화방에는 초대할 수 없습니다")    \
    X(ERR_ROOM_FULL, "room_full", 409, LOG_DEBUG, "The room is full", "대화방 인원이 가득 찼습니다")                   \
    X(ERR_ROOM_CLOSED, "room_closed", 409, LOG_DEBUG, "The room is closed", "종료된 대화방입니다")                     \
    X(ERR_MESSAGE_DELETED, "message_deleted", 409, LOG_DEBUG, "The message was deleted", "삭제된 메시지입니다")        \
    X(ERR_EDIT_TOO_LATE, "edit_too_late", 409, LOG_DEBUG, "Messages can be edited for 24 hours",                       \
      "수정 가능 시간이 지났습니다")                                                                                   \
    X(ERR_TOO_MANY_REACTIONS, "too_many_reactions", 409, LOG_DEBUG, "A message has at most 20 kinds of reactions",     \
      "반응 종류가 너무 많습니다")                                                                                     \
    X(ERR_NOT_FOR_OPEN_ROOM, "not_for_open_room", 422, LOG_DEBUG, "Rooms for everybody have no members or marks",      \
      "공개 대화방에서는 사용할 수 없습니다")

CHAT_PROBLEMS(PROBLEM_DECLARE)

/* Every problem above, ended by NULL: for tests and docs. */
extern const struct problem *const CHAT_PROBLEM_LIST[];
/* Of the tables above and of the common ones; ERR_INTERNAL for a code that is unknown. */
const struct problem *chat_problem_by_code(const char *code);

#endif
