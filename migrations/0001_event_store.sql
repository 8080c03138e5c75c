-- The log: every committed event, in commit order.

CREATE SCHEMA IF NOT EXISTS everfold;

-- Modules that decided events. Events name theirs by a small number instead of 32 bytes.
CREATE TABLE everfold.modules (
    module_id  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest     bytea       NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    name       text        NOT NULL,
    version    text        NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX modules_by_name ON everfold.modules (name, version);

-- Two indexes and no more: each further one costs every append. event_id isn't indexed, for it is never the guard
-- of uniqueness; that is the stream's version. Payload and metadata are json, not jsonb: the text is kept exactly.
CREATE TABLE everfold.event_store (
    position       bigint      NOT NULL PRIMARY KEY CHECK (position > 0),
    version        bigint      NOT NULL CHECK (version >= 0),
    occurred_at    timestamptz NOT NULL,
    created_at     timestamptz NOT NULL,
    event_id       uuid        NOT NULL,
    schema_version integer     NOT NULL CHECK (schema_version > 0),
    module_id      integer,
    tenant_id      text        NOT NULL COLLATE "C",
    aggregate_type text        NOT NULL COLLATE "C",
    stream_id      text        NOT NULL COLLATE "C",
    event_type     text        NOT NULL COLLATE "C",
    payload        json        NOT NULL,
    metadata       json        NOT NULL,
    CONSTRAINT event_store_stream_version UNIQUE (tenant_id, aggregate_type, stream_id, version)
);

-- The log only grows: vacuum early enough that index-only visibility and freezing never come as one long surprise.
ALTER TABLE everfold.event_store SET (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- One row that every batch locks and none updates: a row updated by each batch decays under any old snapshot.
-- The head itself is max(position), never below the floor. The epoch is drawn at random, so that a cursor of another
-- log (a fresh database, a restore that lost the tail) is told apart.
CREATE TABLE everfold.log_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch    bigint NOT NULL CHECK (epoch > 0),
    floor    bigint NOT NULL DEFAULT 0 CHECK (floor >= 0)
);
INSERT INTO everfold.log_head (epoch) VALUES (1 + floor(random() * 2147483646)::bigint);

-- Which events the log holds, known without a scan.
CREATE TABLE everfold.event_kinds (
    aggregate_type text    NOT NULL COLLATE "C",
    event_type     text    NOT NULL COLLATE "C",
    schema_version integer NOT NULL,
    first_position bigint  NOT NULL,
    PRIMARY KEY (aggregate_type, event_type, schema_version)
);

-- History is immutable, for the owner of the tables too.
CREATE FUNCTION everfold.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of everfold.% is refused: the log is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON everfold.event_store
    FOR EACH STATEMENT EXECUTE FUNCTION everfold.refuse_change();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON everfold.log_head
    FOR EACH STATEMENT EXECUTE FUNCTION everfold.refuse_change();
