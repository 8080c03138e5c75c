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
CREATE FUNCTION everfold.grant_roles() RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    v_runtime name := everfold.runtime_role();
    v_reader  name := everfold.reader_role();
    v_table   text;
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
REVOKE ALL ON FUNCTION everfold.grant_roles FROM PUBLIC;
-- The owner's to call, also where a superuser migrates.
DO $$ BEGIN
    EXECUTE format('GRANT EXECUTE ON FUNCTION everfold.grant_roles TO %I',
                   (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'everfold'));
END $$;

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
    -- Also where this user has just made it: since PostgreSQL 16 that alone doesn't let it take the role. A login that
    -- inherits the role is held to a tenant before it takes it, which since then can be avoided.
    FOR v_member IN
        SELECT r.rolname FROM pg_roles r
        WHERE NOT r.rolsuper
          AND (r.rolname = current_user OR r.oid = (SELECT nspowner FROM pg_namespace WHERE nspname = 'everfold'))
    LOOP
        EXECUTE format('GRANT %I TO %I', v_role, v_member)
            || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END;
    END LOOP;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'the role % can''t be made or granted: if nobody else has, pages are read under the runtime role', v_role;
END $$;

-- The log is in use by hosts of the release before. A lock that waits makes everybody wait behind it, so it waits for a
-- fifth of a second at a time, and then lets the commands go on for longer: a long read, such as a backup's, must not stop
-- them. The order is that of the statements that take several: appends begin with the head, folds with the snapshots.
SET LOCAL lock_timeout = '200ms';
SET LOCAL statement_timeout = 0;
DO $$
BEGIN
    FOR v_attempt IN 1..60 LOOP
        BEGIN
            LOCK TABLE everfold.log_head IN EXCLUSIVE MODE;
            LOCK TABLE everfold.snapshots, everfold.event_store, everfold.receipts IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                IF v_attempt = 60 THEN
                    RAISE EXCEPTION 'the log''s tables are in use for too long: end the transaction that reads them, and migrate again'
                        USING ERRCODE = 'lock_not_available';
                END IF;
                PERFORM pg_sleep(least(1 + v_attempt * 0.1, 3));
        END;
    END LOOP;
END $$;

-- What any other role sees and does is what it was granted, as before; tables without tenants have no policies.
CREATE POLICY as_granted ON everfold.event_store USING (true);
CREATE POLICY as_granted ON everfold.snapshots USING (true);
CREATE POLICY as_granted ON everfold.receipts USING (true);
DO $$ BEGIN
    PERFORM everfold.grant_roles();
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'the roles can''t be given their rights: as the tables'' owner SELECT everfold.grant_roles()';
END $$;
ALTER TABLE everfold.event_store ENABLE ROW LEVEL SECURITY;
ALTER TABLE everfold.snapshots ENABLE ROW LEVEL SECURITY;
ALTER TABLE everfold.receipts ENABLE ROW LEVEL SECURITY;
SET LOCAL lock_timeout = DEFAULT;
