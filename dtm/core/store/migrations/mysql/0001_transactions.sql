-- One row per transaction: searchable columns and two JSON documents. Times are UTC milliseconds.
-- status: 1 prepared, 2 submitted, 3 aborting, 4 succeed, 5 failed.
-- What the end of a saga writes takes as much room as what stood there: InnoDB then overwrites in place and logs only
-- the changed bytes, not the row. So nothing is NULL that gets a value later: a time that is none is 2^63 - 1. owner has
-- one width, and `state` is padded with spaces.
-- doubt: bit 0 is the mark itself, bit 1 what the last claim found there; found_due: the due_at it found.
-- Data definitions commit by themselves: each statement must bear being run again after a crash halfway.
CREATE TABLE IF NOT EXISTS dtm_transaction (
    id               BIGINT         NOT NULL PRIMARY KEY,
    gid              VARBINARY(512) NOT NULL,
    trans_type       VARCHAR(128)   NOT NULL,
    protocol_version VARCHAR(128)   NOT NULL,
    status           TINYINT        NOT NULL,
    version          BIGINT         NOT NULL,
    owner            CHAR(24)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    doubt            TINYINT        NOT NULL,
    due_at           BIGINT         NOT NULL DEFAULT 9223372036854775807,
    found_due        BIGINT,
    created_at       BIGINT         NOT NULL,
    updated_at       BIGINT         NOT NULL,
    finished_at      BIGINT         NOT NULL DEFAULT 9223372036854775807,
    request          LONGTEXT       NOT NULL,
    state            LONGTEXT       NOT NULL,
    UNIQUE KEY dtm_transaction_gid (gid),
    KEY dtm_transaction_due (due_at),
    KEY dtm_transaction_finished (finished_at, status, trans_type, protocol_version)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

CREATE TABLE IF NOT EXISTS dtm_kv (
    cat        VARBINARY(512) NOT NULL,
    `key`      VARBINARY(512) NOT NULL,
    value      LONGTEXT       NOT NULL,
    version    BIGINT         NOT NULL,
    created_at BIGINT         NOT NULL,
    updated_at BIGINT         NOT NULL,
    PRIMARY KEY (cat, `key`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;
