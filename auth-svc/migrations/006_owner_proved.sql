-- Whose the address is: email_verified says that somebody confirmed it, owner_proved that whoever holds the account did, by signing up with the
-- proof, changing to it, a reset, a provider that vouches for it, or the code while logged in. A code can also be confirmed without a log-in, by
-- the address's owner whom somebody else's sign-up was faster than.
ALTER TABLE accounts ADD COLUMN owner_proved boolean NOT NULL DEFAULT false;
UPDATE accounts SET owner_proved = true WHERE email_verified;
