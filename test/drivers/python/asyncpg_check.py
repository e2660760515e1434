"""asyncpg: always extended, named and binary; resets the session when a pool takes a connection back."""

import asyncio
import datetime
import io

import asyncpg

from checks import DENIAL, SLOW, check_async, done, equal, error_of_async


async def main():
    pool = await asyncpg.create_pool(min_size=1, max_size=2)

    async def parameters():
        row = await pool.fetchrow(
            "SELECT $1::text AS t, $2::int AS n, $3::int[] AS a, $4::text AS z, $5::date AS d, $6::bytea AS b",
            "x", 7, [1, 2], None, datetime.date(2026, 1, 31), b"\x00\xff")
        equal(tuple(row), ("x", 7, [1, 2], None, datetime.date(2026, 1, 31), b"\x00\xff"))

    async def masked():
        rows = await pool.fetch("SELECT * FROM customers WHERE id = ANY($1) ORDER BY id", [1, 2, 5])
        equal([(row["id"], row["email"], row["birth_date"].month) for row in rows],
              [(2, "o***@example.net", 1), (5, "d***@example.net", 1)])
        equal("password_hash" in rows[0], False)

    async def introspection():
        rows = await pool.fetch("SELECT id, status, ARRAY[status] AS many FROM orders WHERE id = $1 AND status = status", 1)
        equal(rows[0]["many"], [rows[0]["status"]])

    async def record():
        row = await pool.fetchrow("SELECT c FROM (SELECT id, email FROM customers WHERE id = 2) AS c")
        equal(tuple(row["c"]), (2, "o***@example.net"))

    async def release():
        async with pool.acquire() as connection:
            await connection.execute("SET TimeZone = 'Asia/Tokyo'")
        for _ in range(5):
            async with pool.acquire() as connection:
                equal(await connection.fetchval("SHOW TimeZone"), "UTC")
                equal(await connection.fetchval("SELECT email FROM customers WHERE id = 2"), "o***@example.net")

    async def prepared():
        async with pool.acquire() as connection:
            statement = await connection.prepare("SELECT name FROM customers WHERE id = $1")
            equal([await statement.fetchval(n) for n in (2, 1, 5)][:2], ["Oona Dahl", None])
            equal([attribute.name for attribute in statement.get_attributes()], ["name"])

    async def transactions():
        insert = "INSERT INTO driver_items (driver, n) VALUES ('asyncpg', $1)"
        async with pool.acquire() as connection:
            async with connection.transaction():
                await connection.execute(insert, 1)

                async def again():
                    async with connection.transaction():
                        await connection.execute(insert, 1)
                await error_of_async(asyncpg.UniqueViolationError, again())
                await connection.execute(insert, 2)
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(insert, 3)
            await transaction.rollback()
            rows = await connection.fetch("SELECT n FROM driver_items WHERE driver = 'asyncpg' ORDER BY n")
            equal([row["n"] for row in rows], [1, 2])

    async def many():
        async with pool.acquire() as connection:
            await connection.executemany(
                "INSERT INTO driver_items (driver, n) VALUES ('asyncpg-many', $1)", [(n,) for n in range(50)])
            equal(await connection.fetchval("SELECT count(*) FROM driver_items WHERE driver = 'asyncpg-many'"), 50)

    async def copy():
        async with pool.acquire() as connection:
            records = [("asyncpg-copy", n, None if n == 2 else "x") for n in range(3)]
            await connection.copy_records_to_table("driver_items", records=records, columns=["driver", "n", "note"])
            output = io.BytesIO()
            await connection.copy_from_query(
                "SELECT n, note FROM driver_items WHERE driver = $1 ORDER BY n", "asyncpg-copy", output=output, format="csv")
            equal(output.getvalue(), b"0,x\n1,x\n2,\n")
            output = io.BytesIO()
            await connection.copy_from_table("customers", columns=["id", "email"], output=output)
            equal(output.getvalue().count(b"\n"), 600)
            await connection.copy_to_table(
                "driver_items", source=io.BytesIO(b"asyncpg-copy,9,csv\n"), columns=["driver", "n", "note"], format="csv")

    async def cursor():
        async with pool.acquire() as connection:
            async with connection.transaction():
                found = [row["id"] async for row in connection.cursor("SELECT id FROM orders ORDER BY id", prefetch=500)]
                equal(found, list(range(1, 3001)))

    async def denial():
        async with pool.acquire() as connection:
            error = await error_of_async(asyncpg.InsufficientPrivilegeError, connection.fetch("SELECT * FROM payroll"))
            equal(error.args[0], DENIAL)
            error = await error_of_async(
                asyncpg.InsufficientPrivilegeError, connection.fetch("SELECT * FROM payroll WHERE id = $1", 1))
            equal(error.args[0], DENIAL)
            equal(await connection.fetchval("SELECT 1"), 1)

    async def denial_in_transaction():
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await error_of_async(asyncpg.InsufficientPrivilegeError, connection.execute("SELECT * FROM payroll"))
            await error_of_async(asyncpg.InFailedSQLTransactionError, connection.execute("SELECT 1"))
            await transaction.rollback()
            equal(await connection.fetchval("SELECT 1"), 1)

    async def timeout():
        async with pool.acquire() as connection:
            await error_of_async(asyncio.TimeoutError, connection.fetch(SLOW, timeout=0.3))
            equal(await connection.fetchval("SELECT 1"), 1)

    async def reconnect():
        await pool.close()
        connection = await asyncpg.connect()
        equal(await connection.fetchval("SELECT count(*) FROM driver_items WHERE driver = 'asyncpg'"), 2)
        await connection.close()

    await check_async("parameters of many types", parameters)
    await check_async("masked, hidden and filtered columns", masked)
    await check_async("type introspection: an enum and its array", introspection)
    await check_async("a whole row", record)
    await check_async("pool release resets the session", release)
    await check_async("prepared statement", prepared)
    await check_async("transaction: commit, rollback, savepoint", transactions)
    await check_async("executemany", many)
    await check_async("COPY in and out, text, csv and binary", copy)
    await check_async("cursor in portions", cursor)
    await check_async("a denial, by its exact message, and the session lives", denial)
    await check_async("a denial inside a transaction aborts it", denial_in_transaction)
    await check_async("a time-out cancels", timeout)
    await check_async("reconnect", reconnect)
    done()


asyncio.run(main())
