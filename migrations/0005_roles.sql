-- The host works under a role that can append and read, but not write the log by itself. Where the migrating user may
-- not make roles, the host works under its own and `append_only` is the only guard.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'everfold_runtime') THEN
        BEGIN
            CREATE ROLE everfold_runtime NOLOGIN;
        EXCEPTION
            -- Roles belong to the whole cluster: another database's migration may make it at the same moment.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
    -- Also where this user has just made it: since PostgreSQL 16 that alone doesn't let it take the role.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT everfold_runtime TO %I', current_user);
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'the role everfold_runtime can''t be made or granted: the host will work under its own role';
END $$;

REVOKE ALL ON FUNCTION everfold.append_batch_v1 FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'everfold_runtime') THEN
        GRANT USAGE ON SCHEMA everfold TO everfold_runtime;
        GRANT SELECT ON ALL TABLES IN SCHEMA everfold TO everfold_runtime;
        GRANT EXECUTE ON FUNCTION everfold.append_batch_v1 TO everfold_runtime;
        GRANT INSERT ON everfold.modules TO everfold_runtime;
        GRANT INSERT, UPDATE, DELETE ON everfold.snapshots TO everfold_runtime;
        GRANT DELETE ON everfold.receipts TO everfold_runtime;
    END IF;
END $$;
