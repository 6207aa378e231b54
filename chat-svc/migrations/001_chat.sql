-- Rooms, members, messages. The owner of a room's Kafka partition is the only writer of rooms, members, messages, reactions and events_out
-- (but for members.muted, and files and dm_pairs, which handlers write).

CREATE TABLE people (                                -- read copy of topics accounts and profiles; a row may come from either first
    user_id         uuid PRIMARY KEY,
    handle          text NOT NULL DEFAULT '',
    nickname        text NOT NULL DEFAULT '',
    avatar_url      text NOT NULL DEFAULT '',
    locale          text NOT NULL DEFAULT '',
    role            text NOT NULL DEFAULT 'guest',
    withdrawn       boolean NOT NULL DEFAULT false,
    account_version bigint NOT NULL DEFAULT 0,       -- of the last record taken; older ones are skipped
    profile_version bigint NOT NULL DEFAULT -1       -- profiles begin at version 0
);

CREATE TABLE relations (                             -- read copy of topic relations: friends and blocks of a pair
    a          uuid NOT NULL,
    b          uuid NOT NULL,
    friend     boolean NOT NULL,
    blocked_by uuid[] NOT NULL,
    version    bigint NOT NULL,
    PRIMARY KEY (a, b),
    CHECK (a < b)
);
CREATE INDEX relations_by_b ON relations (b);

CREATE TABLE rooms (
    id           uuid PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('dm', 'group', 'global', 'company', 'meetup')),
    title        text NOT NULL DEFAULT '',           -- '': made of the members' nicknames when shown
    created_by   uuid,                               -- NULL: the server
    created_at   timestamptz NOT NULL,
    closed_at    timestamptz,                        -- of company rooms: the round is over
    member_count integer NOT NULL DEFAULT 0 CHECK (member_count >= 0),
    last_seq     bigint NOT NULL DEFAULT 0,          -- of the newest message; sequences have no holes
    rev          bigint NOT NULL DEFAULT 0,          -- of the newest event; gapless over all changes of the room
    active_at    timestamptz NOT NULL                -- of the newest message, or the creation: the order of room lists
);

CREATE TABLE dm_pairs (                              -- one DM per pair, whoever asks first (written by the handler that opens it)
    low     uuid NOT NULL,
    high    uuid NOT NULL,
    room_id uuid NOT NULL UNIQUE,
    PRIMARY KEY (low, high),
    CHECK (low < high)
);

CREATE TABLE members (                               -- a seat exists exactly while the membership does
    room_id   uuid NOT NULL REFERENCES rooms,
    user_id   uuid NOT NULL,
    manager   boolean NOT NULL DEFAULT false,
    joined_at timestamptz NOT NULL,
    read_seq  bigint NOT NULL,                       -- read up to here; never moves backwards, never beyond rooms.last_seq
    muted     boolean NOT NULL DEFAULT false,
    hidden    boolean NOT NULL DEFAULT false,        -- a DM that its member left; a new message or opening it again shows it
    PRIMARY KEY (room_id, user_id)
);
CREATE INDEX members_by_user ON members (user_id);
CREATE INDEX members_by_mark ON members (room_id, read_seq);  -- "not read by n"

CREATE TABLE messages (
    room_id    uuid NOT NULL REFERENCES rooms,
    seq        bigint NOT NULL CHECK (seq > 0),
    rev        bigint NOT NULL,                      -- of its last change
    id         uuid NOT NULL,
    client_id  text,                                 -- chosen by the client: a repeated send is the same message
    sender_id  uuid,                                 -- NULL: a system line
    kind       text NOT NULL CHECK (kind IN ('text', 'image', 'video', 'file', 'system')),
    content    text NOT NULL,                        -- '' once deleted
    file_id    uuid,
    reply_to   bigint,
    reactions  jsonb NOT NULL DEFAULT '{}',          -- {emoji: how many}
    edited_at  timestamptz,
    deleted_at timestamptz,
    at         timestamptz NOT NULL,
    PRIMARY KEY (room_id, seq)
);
CREATE UNIQUE INDEX messages_by_client ON messages (room_id, sender_id, client_id);
CREATE INDEX messages_by_rev ON messages (room_id, rev);      -- catch-up of later edits, deletes, reactions

CREATE TABLE reactions (
    room_id uuid NOT NULL,
    seq     bigint NOT NULL,
    user_id uuid NOT NULL,
    emoji   text NOT NULL,
    PRIMARY KEY (room_id, seq, user_id, emoji),
    FOREIGN KEY (room_id, seq) REFERENCES messages ON DELETE CASCADE
);

CREATE TABLE message_search (                        -- for search in one's own rooms; open rooms have no rows here
    room_id uuid NOT NULL,
    seq     bigint NOT NULL,
    tokens  bigint[] NOT NULL,                       -- hash of (room, pair of letters), so a look-up touches one room's messages only
    PRIMARY KEY (room_id, seq),
    FOREIGN KEY (room_id, seq) REFERENCES messages ON DELETE CASCADE
);
CREATE INDEX message_search_tokens ON message_search USING gin (tokens);

CREATE TABLE files (                                 -- uploaded, by content; a message names one of its room
    id          uuid PRIMARY KEY,
    room_id     uuid NOT NULL,
    user_id     uuid NOT NULL,
    key         text NOT NULL,                       -- in the object store
    type        text NOT NULL,
    bytes       bigint NOT NULL,
    used        boolean NOT NULL DEFAULT false,      -- a message names it; unused ones are swept after a day
    at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX files_unused ON files (at) WHERE NOT used;

CREATE TABLE events_out (                            -- chat.events that are committed and perhaps not sent yet; the owner sends them right after the commit
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partition integer NOT NULL,                      -- of chat.inbound: a new owner sends what it finds before it applies anything
    room_id   uuid NOT NULL,
    corr      text,
    request_id text,
    traceparent text,
    payload   text NOT NULL
);
CREATE INDEX events_out_by_partition ON events_out (partition, id);

INSERT INTO rooms (id, kind, title, created_at, active_at)   -- everybody's room
    VALUES ('00000000-0000-7000-8000-000000000001', 'global', 'Madang', now(), now());
