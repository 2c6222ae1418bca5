-- +goose NO TRANSACTION

-- Built beside the writes. It waits for transactions that are older than it,
-- and holds up nobody meanwhile, so that its own waits need no bound; what an
-- attempt that was broken off has left is not valid, and has to go first.
-- +goose Up
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS orders_customer_key;
CREATE INDEX CONCURRENTLY orders_customer_key ON orders (customer_key);
RESET lock_timeout;

-- +goose Down
DROP INDEX CONCURRENTLY orders_customer_key;
