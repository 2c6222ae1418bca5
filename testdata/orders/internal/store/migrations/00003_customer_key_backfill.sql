-- +goose NO TRANSACTION

-- Ten thousand orders a transaction, so that none lasts long; orders that the
-- present version writes while it still runs are left to a later migration.
-- +goose Up
-- +goose StatementBegin
DO $$
DECLARE
    done bigint := 0;
    last bigint := coalesce((SELECT max(seq) FROM orders), 0);
BEGIN
    WHILE done < last LOOP
        UPDATE orders SET customer_key = lower(customer)
        WHERE seq > done AND seq <= done + 10000 AND customer_key IS NULL;
        COMMIT;
        done := done + 10000;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
UPDATE orders SET customer_key = NULL;
