"""psycopg 3 over libpq: text and binary, pipelines, COPY, server-side cursors."""

import datetime

import psycopg
from psycopg.rows import dict_row

from checks import DENIAL, SLOW, check, done, equal, error_of

connection = psycopg.connect("", autocommit=True)


def parameters():
    row = connection.execute(
        "SELECT %s::text, %s::int, %s::int[], %s::text, %s::date, %s::numeric, %s::bytea, %s::jsonb",
        ["x", 7, [1, 2], None, datetime.date(2026, 1, 31), "1.50", b"\x00\xff", '{"a": 1}'],
    ).fetchone()
    equal(row[:5], ("x", 7, [1, 2], None, datetime.date(2026, 1, 31)))
    equal((str(row[5]), row[6], row[7]), ("1.50", b"\x00\xff", {"a": 1}))


def masked():
    cursor = connection.cursor(row_factory=dict_row)
    rows = cursor.execute("SELECT * FROM customers WHERE id = ANY(%s) ORDER BY id", [[1, 2, 5]]).fetchall()
    equal([(row["id"], row["email"], row["birth_date"].month) for row in rows],
          [(2, "o***@example.net", 1), (5, "d***@example.net", 1)])
    equal("password_hash" in rows[0], False)


def binary():
    cursor = connection.cursor(binary=True)
    row = cursor.execute(
        "SELECT id, email, birth_date, created_at, 1.5::numeric, ARRAY[1, 2] FROM customers WHERE id = %b", [2]
    ).fetchone()
    equal((row[0], row[1], row[2].day, row[4] == 1.5, row[5]), (2, "o***@example.net", 1, True, [1, 2]))


def prepared():
    for _ in range(8):
        equal(connection.execute("SELECT name FROM customers WHERE id = %s", [2]).fetchone(), ("Oona Dahl",))
    equal(connection.execute("SELECT email FROM customers WHERE id = %s", [5], prepare=True).fetchone(),
          ("d***@example.net",))


def transactions():
    insert = "INSERT INTO driver_items (driver, n) VALUES ('psycopg', %s)"
    with connection.transaction():
        connection.execute(insert, [1])
        with error_block(psycopg.errors.UniqueViolation):
            with connection.transaction():
                connection.execute(insert, [1])
        connection.execute(insert, [2])
    with connection.transaction(force_rollback=True):
        connection.execute(insert, [3])
    equal(connection.execute("SELECT n FROM driver_items WHERE driver = 'psycopg' ORDER BY n").fetchall(), [(1,), (2,)])


class error_block:
    def __init__(self, kind):
        self.kind = kind

    def __enter__(self):
        return self

    def __exit__(self, kind, _error, _trace):
        if kind is None:
            raise AssertionError(f"no {self.kind.__name__}")
        return issubclass(kind, self.kind)


def many():
    cursor = connection.cursor()
    cursor.executemany(
        "INSERT INTO driver_items (driver, n) VALUES ('psycopg-many', %s) RETURNING n", [(n,) for n in range(20)],
        returning=True)
    found = [cursor.fetchone()[0]]
    while cursor.nextset():
        found.append(cursor.fetchone()[0])
    equal(found, list(range(20)))


def copy():
    cursor = connection.cursor()
    with cursor.copy("COPY driver_items (driver, n, note) FROM STDIN") as stream:
        stream.write_row(("psycopg-copy", 1, "one"))
        stream.write_row(("psycopg-copy", 2, None))
    with cursor.copy("COPY driver_items (driver, n, note) FROM STDIN (FORMAT binary)") as stream:
        stream.set_types(["text", "int4", "text"])
        stream.write_row(("psycopg-copy", 3, "binary"))
    with cursor.copy("COPY (SELECT n, note FROM driver_items WHERE driver = 'psycopg-copy' ORDER BY n) TO STDOUT") as stream:
        stream.set_types(["int4", "text"])
        equal(list(stream.rows()), [(1, "one"), (2, None), (3, "binary")])
    with cursor.copy("COPY (SELECT email FROM customers WHERE id < 6 ORDER BY id) TO STDOUT (FORMAT binary)") as stream:
        stream.set_types(["text"])
        equal(list(stream.rows()), [("o***@example.net",), ("d***@example.net",)])
    with error_block(ZeroDivisionError):
        with cursor.copy("COPY driver_items (driver, n) FROM STDIN") as stream:
            stream.write_row(("psycopg-broken", 1))
            raise ZeroDivisionError
    equal(connection.execute("SELECT count(*) FROM driver_items WHERE driver = 'psycopg-broken'").fetchone(), (0,))


def pipeline():
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int", [n]) for n in range(100)]
        equal([cursor.fetchone()[0] for cursor in cursors], list(range(100)))


def pipeline_denial():
    with psycopg.connect("", autocommit=True) as own:
        with error_block(psycopg.errors.InsufficientPrivilege):
            with own.pipeline() as pipe:
                own.execute("SELECT 1")
                own.execute("SELECT * FROM payroll")
                own.execute("SELECT 2")
                pipe.sync()
        equal(own.execute("SELECT 3").fetchone(), (3,))


def server_cursor():
    with connection.transaction():
        cursor = connection.cursor(name="portions")
        cursor.itersize = 10
        cursor.execute("SELECT id, email FROM customers ORDER BY id")
        equal(sum(1 for _ in cursor), 600)
        cursor.close()


def denial():
    for parameters in ([], [1]):
        text = "SELECT * FROM payroll" + (" WHERE id = %s" if parameters else "")
        error = error_of(psycopg.errors.InsufficientPrivilege, lambda: connection.execute(text, parameters))
        equal(error.diag.message_primary, DENIAL)
        equal(error.diag.source_function, "postern:relation_not_granted")
    equal(connection.execute("SELECT 1").fetchone(), (1,))


def error_in_transaction():
    with psycopg.connect("") as own:
        error_of(psycopg.errors.InsufficientPrivilege, lambda: own.execute("SELECT * FROM payroll"))
        equal(own.info.transaction_status.name, "INERROR")
        error_of(psycopg.errors.InFailedSqlTransaction, lambda: own.execute("SELECT 1"))
        own.rollback()
        equal(own.execute("SELECT 1").fetchone(), (1,))


def reset():
    connection.execute("SET TimeZone = 'Asia/Tokyo'")
    connection.execute("DISCARD ALL")
    equal(connection.execute("SHOW TimeZone").fetchone(), ("UTC",))
    equal(connection.execute("SELECT email FROM customers WHERE id = 2").fetchone(), ("o***@example.net",))


def cancel():
    import threading
    timer = threading.Timer(0.3, lambda: connection.cancel_safe(timeout=5))
    timer.start()
    error_of(psycopg.errors.QueryCanceled, lambda: connection.execute(SLOW))
    equal(connection.execute("SELECT 1").fetchone(), (1,))


def describe():
    cursor = connection.execute("SELECT id, email, birth_date FROM customers LIMIT 0")
    equal([(column.name, column.type_code) for column in cursor.description],
          [("id", 23), ("email", 25), ("birth_date", 1082)])


def reconnect():
    connection.close()
    with psycopg.connect("") as own:
        equal(own.execute("SELECT count(*) FROM driver_items WHERE driver = 'psycopg'").fetchone(), (2,))


check("parameters of many types", parameters)
check("masked, hidden and filtered columns", masked)
check("binary results and parameters", binary)
check("prepared after several runs", prepared)
check("transaction: commit, rollback, savepoint", transactions)
check("executemany with results", many)
check("COPY in and out, text and binary, broken off", copy)
check("pipeline of 100 statements", pipeline)
check("a denial in a pipeline", pipeline_denial)
check("server-side cursor in portions", server_cursor)
check("a denial, by its exact message, and the session lives", denial)
check("an error inside a transaction leaves it aborted", error_in_transaction)
check("session reset", reset)
check("cancel", cancel)
check("description of a masked result", describe)
check("reconnect", reconnect)
done()
