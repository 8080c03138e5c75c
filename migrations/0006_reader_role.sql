-- A second guard on reads. Pages that leave the host are read under a role that sees one tenant: rows whose tenant is the
-- session's setting everfold.tenant, and none where that isn't set. A statement that forgets its tenant shows nothing of
-- another's. The role is for SQL readers too: GRANT it, and SET everfold.tenant. It guards against mistakes, not against
-- a session that sets another tenant.
--
-- As with the runtime role each owner of a log has one of its own, and where the migrating user may not make it, pages
-- are read under the runtime role as before.
CREATE FUNCTION everfold.reader_role() RETURNS name LANGUAGE sql STABLE AS $$
    SELECT left('everfold_reader_' || pg_get_userbyid(nspowner), 63)::name FROM pg_namespace WHERE nspname = 'everfold'
$$;

-- Gives the two roles what they need, as far as they exist. The tables' owner may call it at any time, such as after a
-- superuser has made the roles.
CREATE FUNCTION everfold.grant_roles() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_runtime name := everfold.runtime_role();
    v_reader  name := everfold.reader_role();
    v_table   text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = v_runtime) THEN
        EXECUTE format('GRANT USAGE ON SCHEMA everfold TO %I', v_runtime);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA everfold TO %I', v_runtime);
        EXECUTE format('GRANT EXECUTE ON FUNCTION everfold.append_batch_v1 TO %I', v_runtime);
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
            IF NOT EXISTS (SELECT FROM pg_policies
                           WHERE schemaname = 'everfold' AND tablename = v_table AND policyname = 'own_tenant') THEN
                -- The subquery is run once a statement, and its result is a condition that the index takes.
                EXECUTE format('CREATE POLICY own_tenant ON everfold.%I AS RESTRICTIVE TO %I '
                               'USING (tenant_id = (SELECT current_setting(''everfold.tenant'', true)))',
                               v_table, v_reader);
            END IF;
        END LOOP;
    END IF;
END $$;
REVOKE ALL ON FUNCTION everfold.grant_roles FROM PUBLIC;

DO $$
DECLARE
    v_role   name := everfold.reader_role();
    v_member name;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = v_role) THEN
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
        EXCEPTION
            -- Another database's migration may make it at the same moment.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
    -- Also where this user has just made it: since PostgreSQL 16 that alone doesn't let it take the role.
    FOR v_member IN
        SELECT r.rolname FROM pg_roles r
        WHERE NOT r.rolsuper
          AND (r.rolname = current_user OR r.oid = (SELECT nspowner FROM pg_namespace WHERE nspname = 'everfold'))
    LOOP
        EXECUTE format('GRANT %I TO %I', v_role, v_member);
    END LOOP;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'the role % can''t be made or granted: if nobody else has, pages are read under the runtime role', v_role;
END $$;

-- The log is in use by hosts of the release before. A lock that waits makes everybody wait behind it, so it waits for two
-- seconds at a time: a long read, such as a backup's, must not stop the commands. The order is that of the statements
-- that take several: appends begin with the head, folds with the snapshots.
SET LOCAL lock_timeout = '2s';
DO $$
BEGIN
    FOR v_attempt IN 1..60 LOOP
        BEGIN
            LOCK TABLE everfold.log_head IN EXCLUSIVE MODE;
            LOCK TABLE everfold.snapshots, everfold.event_store, everfold.receipts IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION
            WHEN lock_not_available THEN
                IF v_attempt = 60 THEN
                    RAISE EXCEPTION 'the log''s tables are in use for too long: end the transaction that reads them, and migrate again'
                        USING ERRCODE = 'lock_not_available';
                END IF;
                PERFORM pg_sleep(1);
        END;
    END LOOP;
END $$;

-- What any other role sees and does is what it was granted, as before; tables without tenants have no policies.
CREATE POLICY as_granted ON everfold.event_store USING (true);
CREATE POLICY as_granted ON everfold.snapshots USING (true);
CREATE POLICY as_granted ON everfold.receipts USING (true);
SELECT everfold.grant_roles();
ALTER TABLE everfold.event_store ENABLE ROW LEVEL SECURITY;
ALTER TABLE everfold.snapshots ENABLE ROW LEVEL SECURITY;
ALTER TABLE everfold.receipts ENABLE ROW LEVEL SECURITY;
SET LOCAL lock_timeout = DEFAULT;
