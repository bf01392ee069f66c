-- Version 1. Ids are 16-byte blobs in rowid tables (3.3 times faster than text keys WITHOUT ROWID).
-- A table of the base holds what the server last confirmed and nothing else; `body` is the JSON as
-- the server sent it, so that a field that this version does not know survives.

-- The base -----------------------------------------------------------------------------------
CREATE TABLE practice (
  pk INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, seq INTEGER NOT NULL, ver INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE client (
  pk INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, seq INTEGER NOT NULL, ver INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE staff (
  pk INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, seq INTEGER NOT NULL, ver INTEGER NOT NULL, body TEXT NOT NULL,
  name TEXT NOT NULL);
CREATE TABLE thread (
  pk INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, seq INTEGER NOT NULL, ver INTEGER NOT NULL, body TEXT NOT NULL,
  created_at INTEGER NOT NULL);
CREATE TABLE message (
  pk INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, seq INTEGER NOT NULL, ver INTEGER NOT NULL, body TEXT NOT NULL,
  thread BLOB NOT NULL, n INTEGER NOT NULL, mine INTEGER NOT NULL, sent_at INTEGER NOT NULL);
-- Covers the badge (count of what is not mine above the mark) without touching a page of text.
CREATE INDEX message_thread ON message (thread, n, mine, sent_at);
CREATE TABLE read_mark (
  pk INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, seq INTEGER NOT NULL, ver INTEGER NOT NULL, body TEXT NOT NULL,
  upto INTEGER NOT NULL);
-- Only the index of words: the text itself stands once, in message.body.
CREATE VIRTUAL TABLE message_words USING fts5 (
  words, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2');

-- What this version does not know, kept for the one that will -----------------------------------
CREATE TABLE parked (
  entity TEXT NOT NULL, id BLOB NOT NULL, seq INTEGER NOT NULL, ver INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (entity, id)) WITHOUT ROWID;
-- Records that no version should have sent; they never stop the rest.
CREATE TABLE quarantined (
  pk INTEGER PRIMARY KEY, entity TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, reason TEXT NOT NULL,
  body TEXT NOT NULL, UNIQUE (entity, id));

-- The feed ----------------------------------------------------------------------------------
CREATE TABLE feed (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  epoch TEXT NOT NULL DEFAULT '', cursor TEXT NOT NULL DEFAULT '', checkpoint INTEGER NOT NULL DEFAULT 0,
  as_of INTEGER, -- the server's clock at the last page
  install TEXT NOT NULL DEFAULT '', -- whose counters the lanes are
  -- The pull under way: where its next page starts, and whether it refills a shadow set.
  pull_epoch TEXT, pull_next TEXT, pull_checkpoint INTEGER, resync INTEGER NOT NULL DEFAULT 0);
INSERT INTO feed (one) VALUES (1);
CREATE TABLE staged (
  pk INTEGER PRIMARY KEY, seq INTEGER NOT NULL, entity TEXT NOT NULL, id TEXT NOT NULL, ver INTEGER NOT NULL,
  body TEXT); -- NULL: a tombstone
CREATE TABLE staged_ack (lane TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;

-- What the client asked for -------------------------------------------------------------------
CREATE TABLE outbox (
  pk INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, lane TEXT NOT NULL,
  n INTEGER, -- NULL until its first byte is about to leave
  type TEXT NOT NULL, entity TEXT NOT NULL, id BLOB NOT NULL, args TEXT NOT NULL, created_at INTEGER NOT NULL,
  state INTEGER NOT NULL, -- 0 waiting, 1 sent and unanswered, 2 done and not yet in the base, 3 needs the client
  seq INTEGER, reason TEXT, field TEXT, attempts INTEGER NOT NULL DEFAULT 0,
  deadline INTEGER, base INTEGER); -- the guard: the server's clock, and the version that was acted upon
CREATE INDEX outbox_lane ON outbox (lane, pk);
CREATE TABLE lane (lane TEXT PRIMARY KEY, last_n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE draft (
  key TEXT PRIMARY KEY, recipient TEXT, subject TEXT NOT NULL, body TEXT NOT NULL, saved_at INTEGER NOT NULL) WITHOUT ROWID;

-- The session --------------------------------------------------------------------------------
CREATE TABLE session (
  one INTEGER PRIMARY KEY CHECK (one = 1), login_id TEXT NOT NULL,
  access_token TEXT NOT NULL, refresh_token TEXT NOT NULL,
  ended TEXT); -- the reason, once only a new sign-in helps
