-- Stored outcomes of requests that carried an idempotency key. Written only where a key was sent: a receipt for every
-- append would halve the throughput. The stream isn't kept, for the fingerprint covers it.
CREATE TABLE everfold.receipts (
    created_at     timestamptz NOT NULL,
    first_version  bigint      NOT NULL, -- of the events; without events the stream's version then
    first_position bigint,               -- of the events; null without events
    event_count    integer     NOT NULL,
    tenant_id      text        NOT NULL COLLATE "C",
    key            text        NOT NULL COLLATE "C",
    fingerprint    bytea       NOT NULL CHECK (octet_length(fingerprint) = 32),
    rejection      json,
    PRIMARY KEY (tenant_id, key)
);

-- For their removal after the retention time. Rows arrive in order of time, so a block range index is enough.
CREATE INDEX receipts_by_time ON everfold.receipts USING brin (created_at) WITH (pages_per_range = 32);
