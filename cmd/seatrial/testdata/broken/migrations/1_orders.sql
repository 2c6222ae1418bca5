CREATE TABEL orders (id int);
