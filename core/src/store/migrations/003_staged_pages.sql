-- Version 3. A page of a pull under way is staged as one row, as it came: its changes, a record
-- separator (0x1E, which no JSON text holds) between two. A pull that was under way begins again.
DROP TABLE staged;
CREATE TABLE staged (pk INTEGER PRIMARY KEY, changes TEXT NOT NULL);
DELETE FROM staged_ack;
UPDATE feed SET pull_epoch = NULL, pull_next = NULL, pull_checkpoint = NULL;
