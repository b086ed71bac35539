-- Which destination was found under a path of a host last: one that is gone there is not mounted.
CREATE TABLE known_destinations (
  host_id TEXT NOT NULL,
  path TEXT NOT NULL,
  destination_id TEXT NOT NULL,
  PRIMARY KEY (path, host_id)
) STRICT, WITHOUT ROWID;
