-- What people keep beside runs: places, directories, profiles, schedules, settings. One document of its kind a row.
CREATE TABLE documents (
  created_no INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  body TEXT NOT NULL,
  UNIQUE (kind, id)
) STRICT;
