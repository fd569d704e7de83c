-- One row per transaction: searchable columns and two JSON documents. Times are UTC milliseconds.
-- status: 1 prepared, 2 submitted, 3 aborting, 4 succeed, 5 failed.
CREATE TABLE dtm_transaction (
    id               INTEGER PRIMARY KEY,
    gid              TEXT    NOT NULL COLLATE BINARY UNIQUE,
    trans_type       TEXT    NOT NULL,
    protocol_version TEXT    NOT NULL,
    status           INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    owner            TEXT    NOT NULL,
    doubt            INTEGER NOT NULL,
    due_at           INTEGER,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    finished_at      INTEGER,
    request          TEXT    NOT NULL,
    state            TEXT    NOT NULL
);

-- Partial, so that finished rows cost the claims, the counts and the lists of unfinished ones nothing.
CREATE INDEX dtm_transaction_due ON dtm_transaction (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX dtm_transaction_unfinished ON dtm_transaction (status, trans_type, protocol_version) WHERE status < 4;
CREATE INDEX dtm_transaction_finished ON dtm_transaction (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE dtm_kv (
    cat        TEXT    NOT NULL COLLATE BINARY,
    key        TEXT    NOT NULL COLLATE BINARY,
    value      TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (cat, key)
) WITHOUT ROWID;
