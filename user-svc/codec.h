/* codec.h - JSON <-> struct, one table or printer per message.
 * Printers append to a reply's body; a `name` NULL stands inside an array or at the top. */
#ifndef MADANG_USER_CODEC_H
#define MADANG_USER_CODEC_H

#include "person.h"

extern const struct field PROFILE_WISH_FIELDS[];

/* {id, handle, nickname, avatar_url}: a person in lists. */
void codec_person(struct str *out, const char *name, const struct person *person);
/* {user, <time_name>}: one item of a list of people. */
void codec_person_at(struct str *out, const struct person *person, const char *time_name, int64_t at_ms);
/* One found by search: a person and the masked e-mail. */
void codec_found(struct str *out, struct arena *arena, const struct person *person, const char *email);
/* The public profile; `relation` is the viewer's. An admin reads e-mail and role too. */
void codec_public_profile(struct str *out, const struct profile *profile, const char *relation, bool for_admin);
/* One's own: the same with e-mail and role. */
void codec_own_profile(struct str *out, const struct profile *profile, const char *role);

#endif
