-- +goose Up
CREATE TABLE orders (
    seq             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              text        NOT NULL UNIQUE,
    idempotency_key text        NOT NULL UNIQUE,
    fingerprint     text        NOT NULL,
    customer        text        NOT NULL,
    status          text        NOT NULL CHECK (status IN ('pending', 'paid', 'failed')),
    total_cents     bigint      NOT NULL CHECK (total_cents >= 0),
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX orders_pending ON orders (created_at) WHERE status = 'pending';

CREATE TABLE order_items (
    order_id    text    NOT NULL REFERENCES orders (id),
    line        integer NOT NULL,
    sku         text    NOT NULL,
    quantity    integer NOT NULL CHECK (quantity > 0),
    price_cents bigint  NOT NULL CHECK (price_cents >= 0),
    PRIMARY KEY (order_id, line)
);

CREATE TABLE order_notes (
    order_id text PRIMARY KEY REFERENCES orders (id),
    note     text NOT NULL
);

-- +goose Down
DROP TABLE order_notes;
DROP TABLE order_items;
DROP TABLE orders;
