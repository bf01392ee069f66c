-- Version 4. What a client writes costs one page: the outbox has no index beside its table (it is short, and
-- read whole) and no counter of its rows (a row that may be on its way is never removed while it is).
CREATE TABLE outbox_4 (
  pk INTEGER PRIMARY KEY, key BLOB NOT NULL, lane TEXT NOT NULL,
  n INTEGER, -- NULL until its first byte is about to leave
  type TEXT NOT NULL, entity TEXT NOT NULL, id BLOB NOT NULL, args TEXT NOT NULL, created_at INTEGER NOT NULL,
  state INTEGER NOT NULL, -- 0 waiting, 1 sent and unanswered, 2 done and not yet in the base, 3 needs the client
  seq INTEGER, reason TEXT, field TEXT, attempts INTEGER NOT NULL DEFAULT 0,
  deadline INTEGER, base INTEGER); -- the guard: the server's clock, and the version that was acted upon
INSERT INTO outbox_4 SELECT pk, key, lane, n, type, entity, id, args, created_at, state, seq, reason, field,
  attempts, deadline, base FROM outbox;
DROP TABLE outbox;
ALTER TABLE outbox_4 RENAME TO outbox;
