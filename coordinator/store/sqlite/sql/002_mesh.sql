-- What a coordinator needs to go on with its runs after a restart, and the agents it knows.
ALTER TABLE runs ADD COLUMN owner TEXT NOT NULL DEFAULT 'command';
ALTER TABLE runs ADD COLUMN run_epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN home_agent_id TEXT;
ALTER TABLE runs ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN idempotency_key TEXT;
ALTER TABLE runs ADD COLUMN notes TEXT NOT NULL DEFAULT '[]';

CREATE UNIQUE INDEX runs_by_key ON runs (idempotency_key) WHERE idempotency_key IS NOT NULL;

ALTER TABLE tasks ADD COLUMN part TEXT;
ALTER TABLE tasks ADD COLUMN files INTEGER NOT NULL DEFAULT 0;

CREATE TABLE task_results (
  task_id TEXT PRIMARY KEY REFERENCES tasks (task_id) ON DELETE CASCADE,
  result TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE scans (
  run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
  source TEXT NOT NULL,
  outcome TEXT NOT NULL,
  PRIMARY KEY (run_id, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE destinations (
  run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
  destination TEXT NOT NULL,
  is_cancelled INTEGER NOT NULL,
  warnings TEXT NOT NULL,
  ending TEXT,
  PRIMARY KEY (run_id, destination)
) STRICT, WITHOUT ROWID;

CREATE TABLE agents (
  registered_no INTEGER PRIMARY KEY AUTOINCREMENT,
  agent_id TEXT NOT NULL UNIQUE,
  agent TEXT NOT NULL
) STRICT;
