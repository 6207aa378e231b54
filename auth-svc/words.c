#include "words.h"

#include <stddef.h>

const char *const WORD_LIST[] = {
    /* Korean, and the bare consonants people write for them */
    "씨발", "시발", "씨팔", "시팔", "쓰발", "병신", "븅신", "개새끼", "새끼야", "지랄", "좆", "존나", "졸라", "썅",
    "쌍년", "미친놈", "미친년", "니애미", "느금마", "엠창", "호로새끼", "창녀", "걸레년", "섹스", "빠구리", "ㅅㅂ",
    "ㅆㅂ", "ㅂㅅ", "ㅈㄹ", "ㅄ",
    /* English */
    "fuck", "shit", "bitch", "asshole", "cunt", "dickhead", "bastard", "motherfucker", "whore", "slut", "nigger",
    "faggot", "wanker", "porn",
    NULL,
};
