-- The log is written by append_batch_v1 alone, for the owner of the tables too: an INSERT or COPY around it could leave
-- holes, break versions, or lie before what readers have seen. The function is known by the settings that it runs under,
-- which no session has by accident; a later version of it must set the same. This guards against mistakes: an owner who
-- sets them, disables the triggers or is in replica mode does so on purpose.
--
-- The condition stands in the function, for a WHEN of a trigger is read anew at each statement: that costs a batch three
-- times as much.
CREATE FUNCTION everfold.refuse_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Quoted where the function was made under quote_all_identifiers.
    IF replace(current_setting('search_path'), '"', '') <> 'everfold, pg_temp'
        OR current_setting('plan_cache_mode') <> 'force_generic_plan' THEN
        RAISE EXCEPTION '% into everfold.% is refused: only append_batch_v1 writes it', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NULL;
END $$;

-- As in the step before: never wait for long with everybody waiting behind.
SET LOCAL lock_timeout = '200ms';
SET LOCAL statement_timeout = 0;
DO $$
BEGIN
    FOR v_attempt IN 1..60 LOOP
        BEGIN
            LOCK TABLE everfold.log_head IN EXCLUSIVE MODE;
            LOCK TABLE everfold.event_store, everfold.receipts, everfold.event_kinds IN SHARE ROW EXCLUSIVE MODE;
            EXIT;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                IF v_attempt = 60 THEN
                    RAISE EXCEPTION 'the log''s tables are in use for too long: end the transaction that writes them, and migrate again'
                        USING ERRCODE = 'lock_not_available';
                END IF;
                PERFORM pg_sleep(least(1 + v_attempt * 0.1, 3));
        END;
    END LOOP;
END $$;

CREATE TRIGGER only_appended BEFORE INSERT ON everfold.event_store
    FOR EACH STATEMENT EXECUTE FUNCTION everfold.refuse_write();
CREATE TRIGGER only_appended BEFORE INSERT ON everfold.receipts
    FOR EACH STATEMENT EXECUTE FUNCTION everfold.refuse_write();
CREATE TRIGGER only_appended BEFORE INSERT ON everfold.event_kinds
    FOR EACH STATEMENT EXECUTE FUNCTION everfold.refuse_write();

-- Receipts leave by time alone, what the log holds not at all.
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON everfold.receipts
    FOR EACH STATEMENT EXECUTE FUNCTION everfold.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON everfold.event_kinds
    FOR EACH STATEMENT EXECUTE FUNCTION everfold.refuse_change();
SET LOCAL lock_timeout = DEFAULT;
