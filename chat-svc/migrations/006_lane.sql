-- Whose a partition of chat.inbound is: commands of the lane have no offset that would keep a former owner from applying them.

ALTER TABLE applied ADD COLUMN owner text;
