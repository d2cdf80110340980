-- A record shop small enough to read, in the shape of the Chinook sample
-- database. The people, bands and songs are made up. SQLite, PostgreSQL and MySQL.

create table artist (
  artist_id integer not null primary key,
  name varchar(120)
);

create table album (
  album_id integer not null primary key,
  title varchar(160) not null,
  artist_id integer not null references artist (artist_id)
);

create table genre (
  genre_id integer not null primary key,
  name varchar(120)
);

create table media_type (
  media_type_id integer not null primary key,
  name varchar(120)
);

create table track (
  track_id integer not null primary key,
  name varchar(200) not null,
  album_id integer references album (album_id),
  media_type_id integer not null references media_type (media_type_id),
  genre_id integer references genre (genre_id),
  composer varchar(220),
  milliseconds integer not null,
  bytes integer,
  unit_price numeric(10,2) not null
);

create table customer (
  customer_id integer not null primary key,
  first_name varchar(40) not null,
  last_name varchar(20) not null,
  city varchar(40),
  country varchar(40),
  email varchar(60) not null
);

create table invoice (
  invoice_id integer not null primary key,
  customer_id integer not null references customer (customer_id),
  invoice_date timestamp not null,
  billing_city varchar(40),
  billing_country varchar(40),
  total numeric(10,2) not null
);

create table invoice_line (
  invoice_line_id integer not null primary key,
  invoice_id integer not null references invoice (invoice_id),
  track_id integer not null references track (track_id),
  unit_price numeric(10,2) not null,
  quantity integer not null
);

create index album_artist_id_idx on album (artist_id);
create index track_album_id_idx on track (album_id);
create index invoice_customer_id_idx on invoice (customer_id);
create index invoice_line_invoice_id_idx on invoice_line (invoice_id);
create index invoice_line_track_id_idx on invoice_line (track_id);

insert into genre (genre_id, name) values
  (1, 'Rock'),
  (2, 'Jazz'),
  (3, 'Fado'),
  (4, 'Electronic');

insert into media_type (media_type_id, name) values
  (1, 'MPEG audio file'),
  (2, 'AAC audio file');

insert into artist (artist_id, name) values
  (1, 'The Lunar Tides'),
  (2, 'Ana Quintela'),
  (3, 'Perihelion'),
  (4, 'Copper & Rain'),
  (5, 'Bosse Lindqvist Trio'),
  (6, 'Nine Small Moons'),
  (7, 'Marisol Tavares'),
  (8, 'Die Nachtfalter'),
  (9, 'Okoro Sisters'),
  (10, 'Glass Harbour');

insert into album (album_id, title, artist_id) values
  (1, 'Spring Tide', 1),
  (2, 'Cartas de Abril', 2),
  (3, 'Closest Approach', 3),
  (4, 'Weatherproof', 4),
  (5, 'Sent på jorden', 5),
  (6, 'Nine Small Moons', 6),
  (7, 'Mar Aberto', 7),
  (8, 'Motten ums Licht', 8),
  (9, 'Market Day', 9),
  (10, 'Breakwater', 10);

insert into track (track_id, name, album_id, media_type_id, genre_id, composer, milliseconds, bytes, unit_price) values
  (1, 'Ebb', 1, 2, 1, 'The Lunar Tides', 296970, 9503040, 0.99),
  (2, 'Flood', 1, 1, 1, 'The Lunar Tides', 208404, 6668928, 0.99),
  (3, 'Slack Water', 1, 2, 1, 'The Lunar Tides', 155074, 4962368, 0.99),
  (4, 'Primeira Carta', 2, 1, 3, null, 405096, 12963072, 0.99),
  (5, 'Rua da Saudade', 2, 2, 3, 'Ana Quintela', 318596, 10195072, 0.99),
  (6, 'O Último Elétrico', 2, 1, 3, 'Ana Quintela', 160931, 5149792, 0.99),
  (7, 'Apsis', 3, 2, 4, 'Perihelion', 390219, 12487008, 0.99),
  (8, 'Ellipse', 3, 1, 4, null, 150088, 4802816, 0.99),
  (9, 'Escape Velocity', 3, 2, 4, 'Perihelion', 353428, 11309696, 0.99),
  (10, 'Gutter Song', 4, 1, 1, 'Copper & Rain', 166246, 5319872, 0.99),
  (11, 'Tin Roof', 4, 2, 1, 'Copper & Rain', 177564, 5682048, 0.99),
  (12, 'It Didn''t Stop', 4, 1, 1, null, 348060, 11137920, 0.99),
  (13, 'Midvinter', 5, 2, 2, 'Bosse Lindqvist Trio', 194970, 6239040, 1.99),
  (14, 'Tåget till Ånge', 5, 1, 2, 'Bosse Lindqvist Trio', 245645, 7860640, 1.99),
  (15, 'Sista valsen', 5, 2, 2, 'Bosse Lindqvist Trio', 162590, 5202880, 1.99),
  (16, 'Phobos', 6, 1, 4, null, 334050, 10689600, 0.99),
  (17, 'Mimas', 6, 2, 4, 'Nine Small Moons', 244047, 7809504, 0.99),
  (18, 'Pan', 6, 1, 4, 'Nine Small Moons', 199296, 6377472, 0.99),
  (19, 'Barca', 7, 2, 3, 'Marisol Tavares', 345147, 11044704, 0.99),
  (20, 'Maré Alta', 7, 1, 3, null, 407120, 13027840, 0.99),
  (21, 'Sem Ti', 7, 2, 3, 'Marisol Tavares', 288573, 9234336, 0.99),
  (22, 'Flügelschlag', 8, 1, 4, 'Die Nachtfalter', 223105, 7139360, 0.99),
  (23, 'Straßenlaterne', 8, 2, 4, 'Die Nachtfalter', 227381, 7276192, 0.99),
  (24, 'Drei Uhr früh', 8, 1, 4, null, 180560, 5777920, 0.99),
  (25, 'Yams & Pepper', 9, 2, 2, 'Okoro Sisters', 163577, 5234464, 1.99),
  (26, 'Auntie''s Radio', 9, 1, 2, 'Okoro Sisters', 161633, 5172256, 1.99),
  (27, 'Sunday Best', 9, 2, 2, 'Okoro Sisters', 236508, 7568256, 1.99),
  (28, 'Pilings', 10, 1, 1, null, 403437, 12909984, 0.99),
  (29, 'Fog Bell', 10, 2, 1, 'Glass Harbour', 291476, 9327232, 0.99),
  (30, 'Low Light', 10, 1, 1, 'Glass Harbour', 363370, 11627840, 0.99);

insert into customer (customer_id, first_name, last_name, city, country, email) values
  (1, 'Ida', 'Holm', 'Göteborg', 'Sweden', 'customer1@example.org'),
  (2, 'Tomás', 'Figueira', 'Porto', 'Portugal', 'customer2@example.org'),
  (3, 'Grace', 'Adeyemi', 'Lagos', 'Nigeria', 'customer3@example.org'),
  (4, 'Jonas', 'Keller', 'Bern', 'Switzerland', 'customer4@example.org'),
  (5, 'Mei', 'Tanaka', 'Kobe', 'Japan', 'customer5@example.org'),
  (6, 'Noah', 'O''Brien', 'Galway', 'Ireland', 'customer6@example.org'),
  (7, 'Lucía', 'Prado', 'Rosario', 'Argentina', 'customer7@example.org'),
  (8, 'Elin', 'Berg', 'Malmö', 'Sweden', 'customer8@example.org');

insert into invoice (invoice_id, customer_id, invoice_date, billing_city, billing_country, total) values
  (1, 5, '2025-01-08 00:00:00', 'Kobe', 'Japan', 2.98),
  (2, 5, '2025-01-17 00:00:00', 'Kobe', 'Japan', 6.95),
  (3, 3, '2025-02-25 00:00:00', 'Lagos', 'Nigeria', 3.96),
  (4, 6, '2025-02-11 00:00:00', 'Galway', 'Ireland', 8.93),
  (5, 5, '2025-03-21 00:00:00', 'Kobe', 'Japan', 8.93),
  (6, 3, '2025-03-20 00:00:00', 'Lagos', 'Nigeria', 0.99),
  (7, 4, '2025-04-25 00:00:00', 'Bern', 'Switzerland', 5.94),
  (8, 2, '2025-04-06 00:00:00', 'Porto', 'Portugal', 6.94),
  (9, 6, '2025-05-22 00:00:00', 'Galway', 'Ireland', 3.96),
  (10, 8, '2025-05-27 00:00:00', 'Malmö', 'Sweden', 5.94),
  (11, 8, '2025-06-28 00:00:00', 'Malmö', 'Sweden', 11.92),
  (12, 4, '2025-06-15 00:00:00', 'Bern', 'Switzerland', 1.98),
  (13, 1, '2025-07-19 00:00:00', 'Göteborg', 'Sweden', 1.98),
  (14, 2, '2025-07-28 00:00:00', 'Porto', 'Portugal', 2.98),
  (15, 6, '2025-08-20 00:00:00', 'Galway', 'Ireland', 5.94),
  (16, 8, '2025-08-10 00:00:00', 'Malmö', 'Sweden', 0.99),
  (17, 6, '2025-09-24 00:00:00', 'Galway', 'Ireland', 3.97),
  (18, 6, '2025-09-05 00:00:00', 'Galway', 'Ireland', 6.94),
  (19, 6, '2025-10-21 00:00:00', 'Galway', 'Ireland', 2.98),
  (20, 7, '2025-10-24 00:00:00', 'Rosario', 'Argentina', 2.97),
  (21, 1, '2025-11-01 00:00:00', 'Göteborg', 'Sweden', 3.96),
  (22, 6, '2025-11-03 00:00:00', 'Galway', 'Ireland', 2.97),
  (23, 6, '2025-12-07 00:00:00', 'Galway', 'Ireland', 5.95),
  (24, 7, '2025-12-26 00:00:00', 'Rosario', 'Argentina', 11.91);

insert into invoice_line (invoice_line_id, invoice_id, track_id, unit_price, quantity) values
  (1, 1, 23, 0.99, 1),
  (2, 1, 25, 1.99, 1),
  (3, 2, 29, 0.99, 1),
  (4, 2, 11, 0.99, 1),
  (5, 2, 24, 0.99, 1),
  (6, 2, 15, 1.99, 2),
  (7, 3, 5, 0.99, 2),
  (8, 3, 30, 0.99, 1),
  (9, 3, 16, 0.99, 1),
  (10, 4, 12, 0.99, 1),
  (11, 4, 20, 0.99, 1),
  (12, 4, 16, 0.99, 1),
  (13, 4, 19, 0.99, 2),
  (14, 4, 26, 1.99, 1),
  (15, 4, 15, 1.99, 1),
  (16, 5, 22, 0.99, 2),
  (17, 5, 27, 1.99, 1),
  (18, 5, 15, 1.99, 1),
  (19, 5, 10, 0.99, 2),
  (20, 5, 23, 0.99, 1),
  (21, 6, 16, 0.99, 1),
  (22, 7, 5, 0.99, 2),
  (23, 7, 24, 0.99, 2),
  (24, 7, 8, 0.99, 2),
  (25, 8, 13, 1.99, 1),
  (26, 8, 18, 0.99, 2),
  (27, 8, 9, 0.99, 1),
  (28, 8, 29, 0.99, 2),
  (29, 9, 8, 0.99, 1),
  (30, 9, 5, 0.99, 1),
  (31, 9, 3, 0.99, 1),
  (32, 9, 6, 0.99, 1),
  (33, 10, 6, 0.99, 2),
  (34, 10, 9, 0.99, 1),
  (35, 10, 10, 0.99, 1),
  (36, 10, 1, 0.99, 1),
  (37, 10, 5, 0.99, 1),
  (38, 11, 26, 1.99, 1),
  (39, 11, 18, 0.99, 2),
  (40, 11, 13, 1.99, 2),
  (41, 11, 28, 0.99, 1),
  (42, 11, 27, 1.99, 1),
  (43, 11, 30, 0.99, 1),
  (44, 12, 4, 0.99, 1),
  (45, 12, 11, 0.99, 1),
  (46, 13, 18, 0.99, 1),
  (47, 13, 4, 0.99, 1),
  (48, 14, 20, 0.99, 1),
  (49, 14, 13, 1.99, 1),
  (50, 15, 16, 0.99, 2),
  (51, 15, 4, 0.99, 2),
  (52, 15, 28, 0.99, 2),
  (53, 16, 5, 0.99, 1),
  (54, 17, 16, 0.99, 1),
  (55, 17, 27, 1.99, 1),
  (56, 17, 23, 0.99, 1),
  (57, 18, 18, 0.99, 1),
  (58, 18, 1, 0.99, 1),
  (59, 18, 25, 1.99, 1),
  (60, 18, 17, 0.99, 1),
  (61, 18, 10, 0.99, 1),
  (62, 18, 21, 0.99, 1),
  (63, 19, 20, 0.99, 1),
  (64, 19, 26, 1.99, 1),
  (65, 20, 7, 0.99, 2),
  (66, 20, 17, 0.99, 1),
  (67, 21, 16, 0.99, 1),
  (68, 21, 9, 0.99, 2),
  (69, 21, 7, 0.99, 1),
  (70, 22, 4, 0.99, 2),
  (71, 22, 8, 0.99, 1),
  (72, 23, 20, 0.99, 2),
  (73, 23, 29, 0.99, 1),
  (74, 23, 27, 1.99, 1),
  (75, 23, 1, 0.99, 1),
  (76, 24, 25, 1.99, 1),
  (77, 24, 7, 0.99, 1),
  (78, 24, 16, 0.99, 2),
  (79, 24, 6, 0.99, 2),
  (80, 24, 14, 1.99, 2),
  (81, 24, 21, 0.99, 1);
