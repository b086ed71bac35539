-- Runs, their tasks and everything that happened to them, numbered.
CREATE TABLE runs (
  created_no INTEGER PRIMARY KEY AUTOINCREMENT,
  run_id TEXT NOT NULL UNIQUE,
  host_id TEXT NOT NULL,
  state TEXT NOT NULL,
  spec TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  ended_at_ms INTEGER,
  report TEXT
) STRICT;

CREATE TABLE tasks (
  created_no INTEGER PRIMARY KEY AUTOINCREMENT,
  task_id TEXT NOT NULL UNIQUE,
  run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
  source TEXT NOT NULL,
  requires TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  state TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  agent_id TEXT,
  reason TEXT
) STRICT;

CREATE INDEX tasks_by_run ON tasks (run_id);

CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
  at_ms INTEGER NOT NULL,
  event TEXT NOT NULL
) STRICT;

CREATE INDEX events_by_run ON events (run_id, seq);
