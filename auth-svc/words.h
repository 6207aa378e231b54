/* words.h - the words no nickname may hold (words.c): a list to read and to edit, nothing else. They are compared
 * folded, with everything but letters taken out, so only whole-word-safe entries belong here ("ass" is in "class"). */
#ifndef AUTH_WORDS_H
#define AUTH_WORDS_H

extern const char *const WORD_LIST[]; /* ended by NULL */

#endif
