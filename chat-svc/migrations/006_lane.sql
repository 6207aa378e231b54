-- Whose a partition of chat.inbound is: commands of the lane have no offset that would keep a former owner from applying them.

ALTER TABLE applied ADD COLUMN owner text;

-- The words that wait to be taken into the index: as many as come between two rounds of tidying (sweep.h), so that no
-- insert does it.
ALTER INDEX message_search_tokens SET (gin_pending_list_limit = 65536);
