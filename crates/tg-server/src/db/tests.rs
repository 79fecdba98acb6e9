//! What holds for the database without a table: URLs, migrations, refusals.
