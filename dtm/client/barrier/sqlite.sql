-- The barrier's table on SQLite.
CREATE TABLE IF NOT EXISTS barrier (
  id INTEGER PRIMARY KEY,
  trans_type TEXT NOT NULL DEFAULT '',
  gid TEXT NOT NULL DEFAULT '',
  branch_id TEXT NOT NULL DEFAULT '',
  op TEXT NOT NULL DEFAULT '',
  barrier_id TEXT NOT NULL DEFAULT '',
  reason TEXT NOT NULL DEFAULT '',
  create_time TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
  update_time TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
  UNIQUE (gid, branch_id, op, barrier_id)
);
