-- The host works under a role that can append and read, but not write the log by itself. Roles belong to the whole
-- cluster, so each owner of a log has one of its own: another owner's hosts can't reach this log by it. Where the
-- migrating user may not make roles, the host works under its own, and `append_only` is the only guard.
CREATE FUNCTION everfold.runtime_role() RETURNS name LANGUAGE sql STABLE AS $$
    SELECT left('everfold_runtime_' || pg_get_userbyid(nspowner), 63)::name FROM pg_namespace WHERE nspname = 'everfold'
$$;

REVOKE ALL ON FUNCTION everfold.append_batch_v1 FROM PUBLIC;

DO $$
DECLARE
    v_role name := everfold.runtime_role();
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
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT %I TO %I', v_role, current_user);
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA everfold TO %I', v_role);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA everfold TO %I', v_role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION everfold.append_batch_v1 TO %I', v_role);
    EXECUTE format('GRANT INSERT ON everfold.modules TO %I', v_role);
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON everfold.snapshots TO %I', v_role);
    EXECUTE format('GRANT DELETE ON everfold.receipts TO %I', v_role);
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'the role % can''t be made or granted: the host will work under its own role', v_role;
END $$;
