-- The inside of the database: one schema and one log-in role per service, and no right on anybody else's.
-- Run by deploy/postgres/init.sh as the owner of the database; running it again changes nothing but the passwords.
-- Environment: PG_ROLE_PASSWORDS = "auth=<password> user=<password> ...", one per service below.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
\getenv role_passwords PG_ROLE_PASSWORDS

CREATE TEMPORARY TABLE service (           -- the list: a new service is a line here and a password in the environment
    name   text PRIMARY KEY,
    schema text NOT NULL,                  -- as the service, but for "user", which is a word of SQL
    role   text GENERATED ALWAYS AS ('madang_' || name) STORED
);
INSERT INTO service (name, schema) VALUES
    ('auth',     'auth'),
    ('user',     'users'),
    ('chat',     'chat'),
    ('presence', 'presence'),
    ('push',     'push'),
    ('match',    'match'),
    ('order',    'orders'),
    ('notify',   'notify'),
    ('game',     'game');

CREATE TEMPORARY TABLE password AS
    SELECT split_part(pair, '=', 1) AS name, split_part(pair, '=', 2) AS word
    FROM string_to_table(:'role_passwords', ' ') AS pair WHERE pair LIKE '%=%';
SELECT count(*) > 0 AS incomplete, string_agg(name, ', ') AS missing
    FROM service LEFT JOIN password USING (name) WHERE coalesce(word, '') = '' \gset
\if :incomplete
    \warn PG_ROLE_PASSWORDS has no password for: :missing
    SELECT 1 / 0 AS "a password is missing";
\endif

-- Two runs at once (two people, one server) would race for the same rows of the catalogue.
SELECT pg_advisory_lock(hashtext('madang init')) \g (format=unaligned tuples_only=on) /dev/null

SELECT format('CREATE ROLE %I', role) FROM service
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec
SELECT format('ALTER ROLE %I LOGIN NOCREATEDB NOCREATEROLE PASSWORD %L', role, word)
    FROM service JOIN password USING (name) \gexec
-- Making a schema for a role takes membership in it, unless one is a superuser.
SELECT format('GRANT %I TO CURRENT_USER', role) FROM service
    WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AND NOT pg_has_role(role, 'MEMBER') \gexec

-- Nobody but the owner may enter the database or make things in it, and nobody shares a schema.
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), role) FROM service \gexec
SELECT 'REVOKE ALL ON SCHEMA public FROM PUBLIC'
    WHERE pg_has_role((SELECT nspowner FROM pg_namespace WHERE nspname = 'public'), 'USAGE') \gexec

SELECT format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', schema, role) FROM service \gexec
SELECT format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', schema) FROM service \gexec
SELECT format('ALTER ROLE %I IN DATABASE %I SET search_path = %I', role, current_database(), schema) FROM service \gexec
