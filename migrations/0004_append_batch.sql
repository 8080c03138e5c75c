-- append_batch_v1: the only way into the log. One call appends for many streams and answers for each append.
--
-- It must be called outside any explicit transaction: the call is the transaction, so the lock on the log's head is
-- held for as long as it takes, and what it answers is committed when the client sees the end of the statement.
--
-- Appends, one element each, in the order in which they were queued:
--   p_expected       what the caller demands: a version, -1 no-stream, -2 any, -3 exists
--   p_base_version   version of the head that the decision was made on, -1 for none; null for a raw append
--   p_base_event     id of the event at that version
--   p_continues      builds on the append before it for the same stream in this call, and fails with it
--   p_key, p_fingerprint, p_rejection   the receipt to look for first, and to write; null without a key
--   p_module         who decided; null for a raw append
--   p_count          how many events; with 0 only the checks are made
-- Events, one element each, those of the first append first.
--
-- Answers one row per append, in order. outcome:
--   a  appended:  version, position = those of the first event
--   c  confirmed: no events, and the checks hold; version = the stream's
--   r  replayed:  the receipt's outcome in version, position, event_count, rejection
--   k  the key has the receipt of another request
--   v  the caller's expected version doesn't hold; version = the stream's
--   s  the head isn't what the decision was made on; version = the stream's
--   p  the append that it continues was not appended
CREATE FUNCTION everfold.append_batch_v1(
    p_tenant text[], p_type text[], p_stream text[], p_expected bigint[], p_base_version bigint[], p_base_event uuid[],
    p_continues boolean[], p_key text[], p_fingerprint bytea[], p_rejection text[], p_module integer[], p_count integer[],
    e_id uuid[], e_type text[], e_schema integer[], e_payload text[], e_metadata text[], e_occurred timestamptz[]
) RETURNS TABLE (outcome "char", version bigint, "position" bigint, event_count integer, rejection json)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = everfold, pg_temp
-- Plans are made once per session, perhaps on empty tables, where a sequential scan looks cheapest, and stay.
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_last     bigint;             -- the log's head
    v_now      timestamptz;        -- created_at of this batch
    v_done     integer := 0;       -- events of the appends before the present one
    v_size     integer;
    v_head     bigint;             -- the stream's head as the present append finds it
    v_event    uuid;
    v_verdict  "char";
    -- one element per append
    v_verdicts "char"[] := array_fill(NULL::"char", ARRAY[cardinality(p_tenant)]);
    v_heads    bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(p_tenant)]);
    v_events   uuid[]   := array_fill(NULL::uuid, ARRAY[cardinality(p_tenant)]);
    v_firsts   bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(p_tenant)]);
    v_places   bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(p_tenant)]);
    v_keepers  integer[] := array_fill(NULL::integer, ARRAY[cardinality(p_tenant)]); -- whose outcome its key's receipt keeps
    v_keeper   integer;
    a          record;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'append_batch_v1 needs READ COMMITTED, not %', upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;

    -- A statement of its own: the next one takes a new snapshot, and so sees all that the lock's last holder committed.
    SELECT h.floor INTO STRICT v_last FROM log_head h FOR UPDATE;

    SELECT greatest(e.position, v_last), greatest(e.created_at, clock_timestamp()) INTO v_last, v_now
    FROM (VALUES (0)) one LEFT JOIN LATERAL (
        SELECT s.position, s.created_at FROM event_store s ORDER BY s.position DESC LIMIT 1
    ) e ON true;

    FOR a IN
        SELECT i.ix::integer AS ix, i.expected, i.base_version, i.base_event, i.continues, i.key, i.fingerprint,
               i.rejection, i.size, head.version AS head, head.event_id AS head_event,
               receipt.fingerprint AS r_fingerprint, receipt.first_version AS r_version,
               receipt.first_position AS r_position, receipt.event_count AS r_count, receipt.rejection AS r_rejection,
               lag(i.ix) OVER (PARTITION BY i.tenant, i.type, i.stream ORDER BY i.ix)::integer AS before_on_stream,
               CASE WHEN i.key IS NOT NULL THEN
                   lag(i.ix) OVER (PARTITION BY i.tenant, i.key ORDER BY i.ix)::integer END AS before_with_key
        FROM unnest(p_tenant, p_type, p_stream, p_expected, p_base_version, p_base_event, p_continues, p_key,
                    p_fingerprint, p_rejection, p_count) WITH ORDINALITY
             AS i(tenant, type, stream, expected, base_version, base_event, continues, key, fingerprint, rejection, size, ix)
        LEFT JOIN LATERAL (
            SELECT s.version, s.event_id FROM event_store s
            WHERE s.tenant_id = i.tenant AND s.aggregate_type = i.type AND s.stream_id = i.stream
            ORDER BY s.version DESC LIMIT 1
        ) head ON true
        LEFT JOIN LATERAL (
            SELECT r.* FROM receipts r WHERE r.tenant_id = i.tenant AND r.key = i.key LIMIT 1
        ) receipt ON i.key IS NOT NULL
        ORDER BY i.ix
    LOOP
        v_size := a.size;
        v_head := coalesce(a.head, -1);
        v_event := a.head_event;
        IF a.before_on_stream IS NOT NULL THEN
            v_head := v_heads[a.before_on_stream];
            v_event := v_events[a.before_on_stream];
        END IF;

        -- The same key earlier in this call, with an outcome that will be its receipt.
        v_keeper := v_keepers[a.before_with_key];
        IF v_keeper IS NOT NULL THEN
            a.r_fingerprint := p_fingerprint[v_keeper];
            a.r_version := coalesce(v_firsts[v_keeper], v_heads[v_keeper]);
            a.r_position := v_places[v_keeper];
            a.r_count := p_count[v_keeper];
            a.r_rejection := p_rejection[v_keeper]::json;
        END IF;

        -- Receipt first, then chain, then the caller's demand, then the head that was decided on.
        v_verdict := CASE
            WHEN a.r_fingerprint = a.fingerprint THEN 'r'
            WHEN a.r_fingerprint IS NOT NULL THEN 'k'
            WHEN a.continues AND (a.before_on_stream IS NULL OR v_verdicts[a.before_on_stream] NOT IN ('a', 'c')) THEN 'p'
            WHEN NOT CASE a.expected WHEN -2 THEN true WHEN -3 THEN v_head >= 0 ELSE v_head = a.expected END THEN 'v'
            WHEN a.base_version IS NOT NULL
                AND (v_head <> a.base_version OR v_event IS DISTINCT FROM a.base_event) THEN 's'
            WHEN v_size = 0 THEN 'c'
            ELSE 'a'
        END;

        outcome := v_verdict;
        version := v_head;
        position := NULL;
        event_count := 0;
        rejection := NULL;
        IF v_verdict = 'a' THEN
            version := v_head + 1;
            position := v_last + 1;
            event_count := v_size;
            v_firsts[a.ix] := version;
            v_places[a.ix] := position;
            v_head := v_head + v_size;
            v_event := e_id[v_done + v_size];
            v_last := v_last + v_size;
        ELSIF v_verdict = 'r' THEN
            version := a.r_version;
            position := a.r_position;
            event_count := a.r_count;
            rejection := a.r_rejection;
        END IF;
        v_verdicts[a.ix] := v_verdict;
        v_heads[a.ix] := v_head;
        v_events[a.ix] := v_event;
        v_keepers[a.ix] := CASE WHEN v_verdict IN ('a', 'c') AND a.key IS NOT NULL THEN a.ix ELSE v_keeper END;
        v_done := v_done + v_size;
        RETURN NEXT;
    END LOOP;

    IF v_done <> cardinality(e_id) THEN
        RAISE EXCEPTION 'append_batch_v1: p_count sums to % events, but % were passed', v_done, cardinality(e_id)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    WITH accepted AS MATERIALIZED (
        SELECT i.tenant, i.type, i.stream, i.module, i.first, i.place, i.size, i.ix,
               sum(i.size) OVER (ORDER BY i.ix) - i.size AS skipped
        FROM unnest(p_tenant, p_type, p_stream, p_module, v_firsts, v_places, p_count) WITH ORDINALITY
             AS i(tenant, type, stream, module, first, place, size, ix)
    ), placed AS MATERIALIZED (
        SELECT i.tenant, i.type, i.stream, i.module, i.first + n.n AS version, i.place + n.n AS place,
               i.skipped + n.n + 1 AS ordinal
        FROM accepted i CROSS JOIN LATERAL generate_series(0, i.size - 1) AS n(n)
        WHERE i.first IS NOT NULL
    ), inserted AS (
        INSERT INTO event_store (position, version, occurred_at, created_at, event_id, schema_version, module_id,
                                 tenant_id, aggregate_type, stream_id, event_type, payload, metadata)
        SELECT p.place, p.version, e.occurred, v_now, e.id, e.schema, p.module,
               p.tenant, p.type, p.stream, e.type, e.payload::json, e.metadata::json
        FROM placed p
        JOIN unnest(e_id, e_type, e_schema, e_payload, e_metadata, e_occurred) WITH ORDINALITY
             AS e(id, type, schema, payload, metadata, occurred, ordinal) ON e.ordinal = p.ordinal
        ORDER BY p.place
        RETURNING aggregate_type, event_type, schema_version, position
    )
    INSERT INTO event_kinds (aggregate_type, event_type, schema_version, first_position)
    SELECT n.aggregate_type, n.event_type, n.schema_version, min(n.position)
    FROM inserted n
    GROUP BY n.aggregate_type, n.event_type, n.schema_version
    ON CONFLICT DO NOTHING;

    IF array_remove(p_key, NULL) <> '{}' THEN
        INSERT INTO receipts (created_at, first_version, first_position, event_count, tenant_id, key, fingerprint, rejection)
        SELECT v_now, coalesce(i.first, i.head), i.place, i.size, i.tenant, i.key, i.fingerprint, i.rejection::json
        FROM unnest(p_tenant, p_key, p_fingerprint, p_rejection, p_count, v_verdicts, v_firsts, v_places, v_heads)
             AS i(tenant, key, fingerprint, rejection, size, verdict, first, place, head)
        WHERE i.key IS NOT NULL AND i.verdict IN ('a', 'c');
    END IF;
END $$;
