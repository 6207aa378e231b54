#include "kinds.h"

#include <string.h>

enum { MINUTES = 60, HOURS = 3600, DAYS = 86400 };

#define INBOX CHANNEL_INBOX
#define PUSH CHANNEL_PUSH
#define EMAIL CHANNEL_EMAIL
#define SMS CHANNEL_SMS
#define SLACK CHANNEL_SLACK
#define TOLD (INBOX | PUSH)                /* what most kinds do */
#define ANY (INBOX | PUSH | EMAIL | SLACK) /* what people may choose for most kinds */

const char *const CHANNEL_NAMES[CHANNELS + 1] = {"inbox", "push", "email", "sms", "slack", NULL};

/* clang-format off */
const struct kind KINDS[] = {
    /* ---- the account; the words of a code fit one short SMS: 90 bytes of EUC-KR ---- */
    {.name = "code", .normally = EMAIL | SMS, .possible = EMAIL | SMS, .locked = true, .secret = true, .worth_s = 3 * MINUTES, .args = {"code", "purpose"},
     .ko = {"마당 인증번호 {code}", "마당 인증번호 {code}: 3분 안에 한 번만 쓸 수 있습니다. 요청하지 않았다면 무시해 주세요."},
     .en = {"Your Madang code: {code}", "Your Madang code is {code}, good for 3 minutes. Did not ask for it? Ignore this."}},
    {.name = "session_reused", .normally = TOLD | EMAIL, .possible = TOLD | EMAIL, .locked = true, .worth_s = 1 * DAYS, /* told whatever is known */
     .ko = {"로그인이 종료되었습니다", "{device_name|알 수 없는 기기}({ip|알 수 없는 주소})의 로그인 정보가 두 번 사용되어 해당 로그인을 종료했습니다. 본인이 아니라면 비밀번호를 바꿔 주세요."},
     .en = {"A log-in was ended", "The log-in of {device_name|a device} ({ip|an unknown address}) was used twice, so it was ended. If it was not you, change your password."}},

    /* ---- friends and rooms ---- */
    {.name = "friend_request", .normally = TOLD, .possible = ANY, .worth_s = 1 * DAYS, .args = {"from.id", "from.nickname"},
     .ko = {"{from.nickname}님의 친구 요청", "{from.nickname}님이 친구가 되고 싶어 합니다."},
     .en = {"Friend request from {from.nickname}", "{from.nickname} wants to be friends with you."}},
    {.name = "friend_accepted", .normally = TOLD, .possible = ANY, .worth_s = 1 * DAYS, .args = {"from.id", "from.nickname"},
     .ko = {"{from.nickname}님과 친구가 되었습니다", "{from.nickname}님이 친구 요청을 수락했습니다."},
     .en = {"{from.nickname} is your friend now", "{from.nickname} accepted your friend request."}},
    {.name = "room_invitation", .normally = TOLD, .possible = ANY, .worth_s = 1 * DAYS, .args = {"from.nickname", "room.id", "room.title"},
     .ko = {"{room.title} 초대", "{from.nickname}님이 {room.title} 대화방에 초대했습니다."},
     .en = {"Invitation to {room.title}", "{from.nickname} invited you to the room {room.title}."}},
    /* Chat sends its own push.requests; here is the switch for them. */
    {.name = "chat_message", .normally = PUSH, .possible = PUSH, .worth_s = 1 * DAYS, .args = {"from.nickname", "text"},
     .ko = {"{from.nickname}", "{text}"}, .en = {"{from.nickname}", "{text}"}},

    /* ---- clubs and one-day meetups ---- */
    {.name = "meetup_application", .normally = TOLD, .possible = ANY, .worth_s = 1 * DAYS, .args = {"from.id", "from.nickname", "meetup.id", "meetup.title"},
     .ko = {"{meetup.title} 참가 신청", "{from.nickname}님이 {meetup.title}에 참가를 신청했습니다."},
     .en = {"Application for {meetup.title}", "{from.nickname} applied for {meetup.title}."}},
    {.name = "meetup_joined", .normally = TOLD, .possible = ANY, .worth_s = 1 * DAYS, .args = {"from.id", "from.nickname", "meetup.id", "meetup.title"},
     .ko = {"{meetup.title} 참가", "{from.nickname}님이 {meetup.title}에 참가합니다."},
     .en = {"{from.nickname} joins {meetup.title}", "{from.nickname} takes part in {meetup.title}."}},
    {.name = "meetup_approved", .normally = TOLD, .possible = ANY, .worth_s = 1 * DAYS, .args = {"meetup.id", "meetup.title"},
     .ko = {"참가가 승인되었습니다", "{meetup.title} 참가 신청이 승인되었습니다."},
     .en = {"You are in", "Your application for {meetup.title} was approved."}},
    {.name = "meetup_rejected", .normally = TOLD, .possible = ANY, .worth_s = 1 * DAYS, .args = {"meetup.id", "meetup.title"},
     .ko = {"참가 신청이 거절되었습니다", "{meetup.title} 참가 신청이 거절되었습니다."},
     .en = {"Not this time", "Your application for {meetup.title} was rejected."}},
    {.name = "meetup_banned", .normally = TOLD, .possible = ANY, .worth_s = 1 * DAYS, .args = {"meetup.id", "meetup.title"},
     .ko = {"모임에서 내보내졌습니다", "{meetup.title}에서 내보내졌습니다."},
     .en = {"You were removed", "You were removed from {meetup.title}."}},
    {.name = "meetup_changed", .normally = TOLD, .possible = ANY, .worth_s = 1 * DAYS, .args = {"meetup.id", "meetup.title"},
     .ko = {"{meetup.title} 변경", "{meetup.title}의 내용이 바뀌었습니다."},
     .en = {"{meetup.title} has changed", "Something about {meetup.title} has changed."}},
    {.name = "meetup_new", .normally = INBOX, .possible = ANY, .worth_s = 1 * DAYS, .args = {"club.title", "meetup.id", "meetup.title"},
     .ko = {"{club.title}의 새 모임", "{meetup.title} 모임이 열렸습니다."},
     .en = {"New in {club.title}", "There is a new meetup: {meetup.title}."}},
    {.name = "meetup_starting", .normally = TOLD, .possible = ANY, .worth_s = 1 * HOURS, .args = {"meetup.id", "meetup.title", "starts_at"},
     .ko = {"곧 시작합니다", "{meetup.title} 모임이 곧 시작합니다 ({starts_at})."},
     .en = {"Starting soon", "{meetup.title} starts soon ({starts_at})."}},

    /* ---- partner rooms ---- */
    {.name = "partner_joined", .normally = TOLD, .possible = ANY, .worth_s = 1 * DAYS, .args = {"from.nickname", "article.id"},
     .ko = {"{from.nickname}님이 참여했습니다", "{from.nickname}님이 내 방에 참여했습니다."},
     .en = {"{from.nickname} takes part", "{from.nickname} joined your room."}},
    {.name = "partner_left", .normally = TOLD, .possible = ANY, .worth_s = 1 * DAYS, .args = {"from.nickname", "article.id"},
     .ko = {"{from.nickname}님이 참여를 취소했습니다", "{from.nickname}님이 내 방 참여를 취소했습니다."},
     .en = {"{from.nickname} cancelled", "{from.nickname} left your room."}},
    {.name = "match_confirmed", .normally = TOLD, .possible = ANY, .worth_s = 1 * DAYS, .args = {"article.id"},
     .ko = {"매칭이 확정되었습니다", "참여한 방의 매칭이 확정되었습니다."},
     .en = {"Match confirmed", "The match of your room is confirmed."}},
    {.name = "match_done", .normally = SLACK, .possible = SLACK, .worth_s = 1 * DAYS,
     .ko = {"매칭이 완료되었습니다", "매칭이 완료되었습니다. 이 대화에 없는 참가자가 있다면 초대해 주세요."},
     .en = {"Matching done", "The matching is done. Invite whoever is missing from this conversation."}},
    {.name = "comment_reply", .normally = TOLD, .possible = ANY, .worth_s = 1 * DAYS, .args = {"from.nickname", "article.id", "opinion.id"},
     .ko = {"{from.nickname}님의 답글", "{from.nickname}님이 내 댓글에 답글을 남겼습니다."},
     .en = {"Reply from {from.nickname}", "{from.nickname} replied to your comment."}},

    /* ---- study parties, boards, courses; several of them go to a Slack channel ---- */
    {.name = "workspace_joined", .normally = SLACK, .possible = SLACK, .worth_s = 1 * DAYS, .args = {"from.nickname"},
     .ko = {"새 멤버", "{from.nickname}님이 워크스페이스에 들어왔습니다. 환영해 주세요!"},
     .en = {"A new member", "{from.nickname} joined the workspace. Say hello!"}},
    {.name = "channel_joined", .normally = SLACK, .possible = SLACK, .worth_s = 1 * DAYS, .args = {"from.nickname"},
     .ko = {"새 멤버", "{from.nickname}님이 채널에 들어왔습니다."},
     .en = {"A new member", "{from.nickname} joined this channel."}},
    {.name = "comment_added", .normally = TOLD | SLACK, .possible = ANY, .worth_s = 1 * DAYS, .args = {"from.nickname", "post.id", "post.title"},
     .ko = {"새 댓글", "{from.nickname}님이 '{post.title}'에 댓글을 남겼습니다."},
     .en = {"New comment", "{from.nickname} commented on \"{post.title}\"."}},
    {.name = "payment_done", .normally = TOLD | EMAIL | SLACK, .possible = ANY, .worth_s = 1 * DAYS, .args = {"order.id", "order.title", "amount_won"},
     .ko = {"결제가 완료되었습니다", "{order.title} 결제({amount_won}원)가 완료되었습니다."},
     .en = {"Payment received", "Your payment of {amount_won} won for {order.title} was received."}},
    {.name = "inquiry_received", .normally = SLACK, .possible = ANY, .worth_s = 1 * DAYS, .args = {"from.nickname", "text"},
     .ko = {"새 문의", "{from.nickname}: {text}"},
     .en = {"New inquiry", "{from.nickname}: {text}"}},
    {.name = "error_reported", .normally = SLACK, .possible = SLACK, .worth_s = 1 * HOURS, .args = {"service", "text"},
     .ko = {"오류: {service}", "{text}"},
     .en = {"Error in {service}", "{text}"}},

    /* ---- the trading game ---- */
    {.name = "round_result", .normally = INBOX, .possible = ANY, .worth_s = 1 * HOURS, .args = {"round.id", "round.number", "rank", "participants", "return_pct", "points"},
     .ko = {"{round.number}라운드 결과: {rank}위", "{participants}명 중 {rank}위, 수익률 {return_pct}%, 점수 {points}점입니다."},
     .en = {"Round {round.number}: place {rank}", "Place {rank} of {participants}, return {return_pct}%, {points} points."}},
    {0},
};
/* clang-format on */

unsigned channel_bit_of(const char *name)
{
    for (int i = 0; i < CHANNELS; i++)
        if (strcmp(CHANNEL_NAMES[i], name) == 0)
            return 1u << i;
    return 0;
}

const struct kind *kind_find(const char *name)
{
    for (const struct kind *kind = KINDS; kind->name; kind++)
        if (strcmp(kind->name, name) == 0)
            return kind;
    return NULL;
}
