-- A column without a default is added at once, whatever the size of the table.
-- +goose Up
ALTER TABLE orders ADD COLUMN customer_key text;

-- +goose Down
ALTER TABLE orders DROP COLUMN customer_key;
