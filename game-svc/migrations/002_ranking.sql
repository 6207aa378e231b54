-- What a round comes to: places, points, rating. Written once per round, in the transaction that sets rounds.ranked_at.

CREATE TABLE people (                                       -- read copy of topic accounts, and what only this service knows: the rating
    user_id   UUID    PRIMARY KEY,
    nickname  TEXT    NOT NULL DEFAULT '',
    withdrawn BOOLEAN NOT NULL DEFAULT false,
    version   BIGINT  NOT NULL DEFAULT 0,                   -- of the last record taken; 0: none has come yet
    rating    BIGINT  NOT NULL DEFAULT 0 CHECK (rating >= 0)-- the sum of all points; never falls
);
CREATE INDEX people_by_rating ON people (rating DESC, user_id DESC) WHERE rating > 0 AND NOT withdrawn;

CREATE TABLE results (                                      -- who took part, with the place and what it was worth
    round_id   UUID    NOT NULL REFERENCES rounds (id) ON DELETE CASCADE,
    user_id    UUID    NOT NULL,
    place      INTEGER NOT NULL CHECK (place > 0),          -- equal returns have equal places; the next place counts them all
    return_bp  BIGINT  NOT NULL,                            -- hundredths of a percent
    points     INTEGER NOT NULL CHECK (points >= 0),
    rating     BIGINT  NOT NULL,                            -- afterwards
    PRIMARY KEY (round_id, user_id)
);
CREATE INDEX results_by_place ON results (round_id, place, user_id);
CREATE INDEX results_by_user ON results (user_id, round_id);

CREATE TABLE rankings (                                     -- one per ranked round
    round_id     UUID    PRIMARY KEY REFERENCES rounds (id) ON DELETE CASCADE,
    participants INTEGER NOT NULL,
    noticed_to   UUID    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000', -- notices left for all up to this user ...
    noticed_at   TIMESTAMPTZ                                -- ... and for all of them at this time
);
