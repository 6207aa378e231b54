/* chance.h - the chance of a round. Every draw follows from the round's stored seed, the name of what is drawn and its
 * number, so a step that is done again draws the same; integers only. Pure. */
#ifndef MADANG_GAME_CHANCE_H
#define MADANG_GAME_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

struct chance {
    uint64_t state;
};

/* The stream of numbers of one thing: ("news", 7). */
struct chance chance_of(int64_t seed, const char *what, int64_t number);
uint64_t chance_next(struct chance *chance);
/* Uniform, both ends included; least <= most. */
int64_t chance_between(struct chance *chance, int64_t least, int64_t most);
/* True `permille` times of a thousand. */
bool chance_happens(struct chance *chance, int permille);
/* A thousand times a number of mean 0 and deviation 1, near to normal, from -6000 to 6000. */
int64_t chance_bell(struct chance *chance);

#endif
