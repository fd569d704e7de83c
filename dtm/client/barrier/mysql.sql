-- The barrier's table on MySQL and MariaDB, shared with services in other languages.
-- Keys are compared byte for byte: `a`, `A` and `a ` are three transactions.
CREATE DATABASE IF NOT EXISTS dtm_barrier;
CREATE TABLE IF NOT EXISTS dtm_barrier.barrier (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  trans_type VARCHAR(45) NOT NULL DEFAULT '',
  gid VARBINARY(512) NOT NULL DEFAULT '',
  branch_id VARBINARY(512) NOT NULL DEFAULT '',
  op VARBINARY(180) NOT NULL DEFAULT '',
  barrier_id VARBINARY(180) NOT NULL DEFAULT '',
  reason VARCHAR(45) NOT NULL DEFAULT '',
  create_time DATETIME NOT NULL DEFAULT NOW(),
  update_time DATETIME NOT NULL DEFAULT NOW(),
  KEY (create_time),
  KEY (update_time),
  UNIQUE KEY uniq_barrier (gid, branch_id, op, barrier_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
