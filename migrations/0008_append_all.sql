-- append_all_v1: the same as append_batch_v1 for a batch in which nothing is in dispute, which nearly all are, at half the
-- cost: judged and written as a whole instead of append by append. All of it is appended, or nothing; whoever is
-- answered nothing calls append_batch_v1, which has a verdict for each.
--
-- It must be called outside any explicit transaction, as append_batch_v1 must. Parameters are those of append_batch_v1, but
--   no two appends may be of the same stream, so that none continues another; where two are, all are refused by
--     the constraint on versions
--   p_kinds_known    every event's kind is known to be in event_kinds already: the caller has seen it committed
--
-- Answers the position of the first event, and for each append the version of its stream's head before it; or nulls
-- where a demand doesn't hold, a head isn't what was decided on, or a key has a receipt. Nothing was written then.
CREATE FUNCTION everfold.append_all_v1(
    p_tenant text[], p_type text[], p_stream text[], p_expected bigint[], p_base_version bigint[], p_base_event uuid[],
    p_key text[], p_fingerprint bytea[], p_rejection text[], p_module integer[], p_count integer[],
    e_id uuid[], e_type text[], e_schema integer[], e_payload text[], e_metadata text[], e_occurred timestamptz[],
    p_kinds_known boolean,
    OUT "position" bigint, OUT heads bigint[]
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = everfold, pg_temp
-- As for append_batch_v1: plans are made once per session, perhaps on empty tables, and stay.
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_floor  bigint;
    v_last   bigint;                -- the log's head
    v_now    timestamptz;           -- created_at of this batch
    v_heads  bigint[];
    v_holds  boolean;
    v_keyed  boolean := array_remove(p_key, NULL) <> '{}';
    v_single boolean := 1 = ALL (p_count); -- each append has one event, its own number's
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'append_all_v1 needs READ COMMITTED, not %', upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF (SELECT sum(size) FROM unnest(p_count) size) <> cardinality(e_id) THEN
        RAISE EXCEPTION 'append_all_v1: p_count doesn''t sum to the % events that were passed', cardinality(e_id)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- A statement of its own: the next one takes a new snapshot, and so sees all that the lock's last holder committed.
    SELECT h.floor INTO STRICT v_floor FROM log_head h FOR UPDATE;

    SELECT judged.heads, judged.hold, greatest(newest.position, v_floor), greatest(newest.created_at, clock_timestamp())
    INTO v_heads, v_holds, v_last, v_now
    FROM (
        SELECT array_agg(coalesce(head.version, -1) ORDER BY i.ix) AS heads,
               bool_and(
                   CASE i.expected WHEN -2 THEN true WHEN -3 THEN head.version IS NOT NULL
                                   ELSE coalesce(head.version, -1) = i.expected END
                   AND (i.base_version IS NULL
                        OR coalesce(head.version, -1) = i.base_version AND head.event_id IS NOT DISTINCT FROM i.base_event)
               ) AS hold
        FROM unnest(p_tenant, p_type, p_stream, p_expected, p_base_version, p_base_event) WITH ORDINALITY
             AS i(tenant, type, stream, expected, base_version, base_event, ix)
        LEFT JOIN LATERAL (
            SELECT s.version, s.event_id FROM event_store s
            WHERE s.tenant_id = i.tenant AND s.aggregate_type = i.type AND s.stream_id = i.stream
            ORDER BY s.version DESC LIMIT 1
        ) head ON true
    ) judged
    LEFT JOIN LATERAL (
        SELECT s.position, s.created_at FROM event_store s ORDER BY s.position DESC LIMIT 1
    ) newest ON true;

    -- A key that has a receipt, or that two appends have, needs a verdict of its own.
    IF v_holds AND v_keyed THEN
        SELECT bool_and(asked.times = 1 AND receipt.key IS NULL) INTO v_holds
        FROM (
            SELECT i.tenant, i.key, count(*) AS times FROM unnest(p_tenant, p_key) AS i(tenant, key)
            WHERE i.key IS NOT NULL GROUP BY i.tenant, i.key
        ) asked
        LEFT JOIN LATERAL (
            SELECT r.key FROM receipts r WHERE r.tenant_id = asked.tenant AND r.key = asked.key LIMIT 1
        ) receipt ON true;
    END IF;
    IF v_holds IS NOT TRUE THEN
        RETURN;
    END IF;

    IF v_single THEN
        INSERT INTO event_store (position, version, occurred_at, created_at, event_id, schema_version, module_id,
                                 tenant_id, aggregate_type, stream_id, event_type, payload, metadata)
        SELECT v_last + e.ordinal, a.head + 1, e.occurred, v_now, e.id, e.schema, a.module,
               a.tenant, a.type, a.stream, e.type, e.payload::json, e.metadata::json
        FROM unnest(e_id, e_type, e_schema, e_payload, e_metadata, e_occurred) WITH ORDINALITY
             AS e(id, type, schema, payload, metadata, occurred, ordinal)
        JOIN unnest(p_tenant, p_type, p_stream, p_module, v_heads) WITH ORDINALITY
             AS a(tenant, type, stream, module, head, ix) ON a.ix = e.ordinal;
    ELSE
        WITH placed AS MATERIALIZED (
            SELECT i.tenant, i.type, i.stream, i.module, i.head + n.n AS version, i.skipped + n.n AS ordinal
            FROM (
                SELECT a.*, sum(a.size) OVER (ORDER BY a.ix) - a.size AS skipped
                FROM unnest(p_tenant, p_type, p_stream, p_module, v_heads, p_count) WITH ORDINALITY
                     AS a(tenant, type, stream, module, head, size, ix)
            ) i CROSS JOIN LATERAL generate_series(1, i.size) AS n(n)
        )
        INSERT INTO event_store (position, version, occurred_at, created_at, event_id, schema_version, module_id,
                                 tenant_id, aggregate_type, stream_id, event_type, payload, metadata)
        SELECT v_last + e.ordinal, p.version, e.occurred, v_now, e.id, e.schema, p.module,
               p.tenant, p.type, p.stream, e.type, e.payload::json, e.metadata::json
        FROM unnest(e_id, e_type, e_schema, e_payload, e_metadata, e_occurred) WITH ORDINALITY
             AS e(id, type, schema, payload, metadata, occurred, ordinal)
        JOIN placed p ON p.ordinal = e.ordinal;
    END IF;

    IF NOT p_kinds_known THEN
        INSERT INTO event_kinds (aggregate_type, event_type, schema_version, first_position)
        SELECT s.aggregate_type, s.event_type, s.schema_version, min(s.position)
        FROM event_store s WHERE s.position > v_last
        GROUP BY s.aggregate_type, s.event_type, s.schema_version
        ON CONFLICT DO NOTHING;
    END IF;

    IF v_keyed THEN
        INSERT INTO receipts (created_at, first_version, first_position, event_count, tenant_id, key, fingerprint, rejection)
        SELECT v_now, CASE WHEN i.size > 0 THEN i.head + 1 ELSE i.head END,
               CASE WHEN i.size > 0 THEN v_last + 1 + i.skipped END, i.size, i.tenant, i.key, i.fingerprint, i.rejection::json
        FROM (
            SELECT a.*, sum(a.size) OVER (ORDER BY a.ix) - a.size AS skipped
            FROM unnest(p_tenant, p_key, p_fingerprint, p_rejection, p_count, v_heads) WITH ORDINALITY
                 AS a(tenant, key, fingerprint, rejection, size, head, ix)
        ) i
        WHERE i.key IS NOT NULL;
    END IF;

    position := v_last + 1;
    heads := v_heads;
END $$;

REVOKE ALL ON FUNCTION everfold.append_all_v1 FROM PUBLIC;

-- Gives the two roles what they need, as far as they exist: as before, and every way into the log by its name. The tables' owner may call it at any time, such as after a
-- superuser has made the roles.
CREATE OR REPLACE FUNCTION everfold.grant_roles() RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    v_runtime name := everfold.runtime_role();
    v_reader  name := everfold.reader_role();
    v_table   text;
    v_append  regprocedure;
    v_held    name[];
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = v_runtime) THEN
        EXECUTE format('GRANT USAGE ON SCHEMA everfold TO %I', v_runtime);
        -- By name: others may have put tables of theirs into the schema.
        EXECUTE format('GRANT SELECT ON everfold.event_store, everfold.snapshots, everfold.modules, everfold.event_kinds, '
                       'everfold.log_head, everfold.receipts TO %I', v_runtime);
        -- Made by what applies the steps, where that keeps count in the database.
        IF to_regclass('everfold.migrations') IS NOT NULL THEN
            EXECUTE format('GRANT SELECT ON everfold.migrations TO %I', v_runtime);
        END IF;
        FOR v_append IN
            SELECT oid FROM pg_proc
            WHERE pronamespace = 'everfold'::regnamespace AND proname IN ('append_batch_v1', 'append_all_v1')
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', v_append, v_runtime);
        END LOOP;
        EXECUTE format('GRANT INSERT ON everfold.modules TO %I', v_runtime);
        EXECUTE format('GRANT INSERT, UPDATE, DELETE ON everfold.snapshots TO %I', v_runtime);
        EXECUTE format('GRANT DELETE ON everfold.receipts TO %I', v_runtime);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = v_reader) THEN
        EXECUTE format('GRANT USAGE ON SCHEMA everfold TO %I', v_reader);
        -- Not the receipts: idempotency keys are their senders' alone.
        EXECUTE format('GRANT SELECT ON everfold.event_store, everfold.snapshots, everfold.modules, '
                       'everfold.event_kinds, everfold.log_head TO %I', v_reader);
        FOREACH v_table IN ARRAY ARRAY['snapshots', 'event_store', 'receipts'] LOOP
            SELECT roles INTO v_held FROM pg_policies
            WHERE schemaname = 'everfold' AND tablename = v_table AND policyname = 'own_tenant';
            IF v_held IS NULL THEN
                -- The subquery is run once a statement, and its result is a condition that the index takes.
                EXECUTE format('CREATE POLICY own_tenant ON everfold.%I AS RESTRICTIVE TO %I '
                               'USING (tenant_id = (SELECT current_setting(''everfold.tenant'', true)))',
                               v_table, v_reader);
            ELSIF v_reader <> ALL (v_held) THEN
                -- The log has another owner, or its owner another name. The reader of the one before may read still, and
                -- stays held to a tenant.
                EXECUTE format('ALTER POLICY own_tenant ON everfold.%I TO %s '
                               'USING (tenant_id = (SELECT current_setting(''everfold.tenant'', true)))', v_table,
                               (SELECT string_agg(quote_ident(held), ', ') FROM unnest(v_held || v_reader) held
                                WHERE held <> 'public'));
            END IF;
        END LOOP;
    END IF;
END $$;

DO $$
BEGIN
    PERFORM everfold.grant_roles();
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'the roles can''t be given their rights: as the tables'' owner SELECT everfold.grant_roles()';
END $$;
