-- States of streams at committed versions, each as one module computed it: disposable, and kept apart by module, so
-- that hosts with different modules don't overwrite each other's. The state's bytes are kept as they came.
CREATE TABLE everfold.snapshots (
    tenant_id      text        NOT NULL COLLATE "C",
    aggregate_type text        NOT NULL COLLATE "C",
    stream_id      text        NOT NULL COLLATE "C",
    module_id      integer     NOT NULL REFERENCES everfold.modules,
    version        bigint      NOT NULL CHECK (version >= 0),
    event_id       uuid        NOT NULL, -- of the event at that version: proves that it is a snapshot of this history
    state_version  integer     NOT NULL CHECK (state_version >= 0),
    state          json        NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, aggregate_type, stream_id, module_id)
);
