"""SQLAlchemy: reflection, ORM, and LangChain's way of using it, over psycopg and asyncpg."""

import asyncio

from sqlalchemy import MetaData, Table, create_engine, exc, func, insert, inspect, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from checks import DENIAL, check, done, equal, error_of

engine = create_engine("postgresql+psycopg://", pool_size=2, max_overflow=0)


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "driver_items"
    id: Mapped[int] = mapped_column(primary_key=True)
    driver: Mapped[str]
    n: Mapped[int]
    note: Mapped[str | None]


def own(names):
    return [name for name in names if not name.startswith("pgbench")]


def inspector():
    found = inspect(engine)
    equal(own(sorted(found.get_table_names())), ["customers", "driver_items", "orders", "products"])
    equal(found.get_schema_names(), ["information_schema", "public"])
    columns = [column["name"] for column in found.get_columns("customers")]
    equal(("email" in columns, "password_hash" in columns), (True, False))
    equal(found.get_pk_constraint("customers")["constrained_columns"], ["id"])
    equal([key["referred_table"] for key in found.get_foreign_keys("orders")], ["customers"])
    equal(sorted(found.get_unique_constraints("driver_items")[0]["column_names"]), ["driver", "n"])
    found.get_indexes("customers")
    found.get_check_constraints("customers")
    found.get_table_comment("customers")
    equal(found.has_table("payroll"), False)
    equal([each["name"] for each in found.get_enums()], ["order_status"])
    found.get_view_names()
    found.get_materialized_view_names()
    found.get_sequence_names()


def reflection():
    metadata = MetaData()
    metadata.reflect(engine)
    equal(own(sorted(metadata.tables)), ["customers", "driver_items", "orders", "products"])
    customers = metadata.tables["customers"]
    with engine.connect() as connection:
        rows = connection.execute(select(customers).where(customers.c.id.in_([1, 2, 5])).order_by(customers.c.id))
        equal([(row.id, row.email) for row in rows], [(2, "o***@example.net"), (5, "d***@example.net")])


def unknown():
    error_of(exc.NoSuchTableError, lambda: Table("payroll", MetaData(), autoload_with=engine))


def join():
    metadata = MetaData()
    metadata.reflect(engine, only=["customers", "orders"])
    customers, orders = metadata.tables["customers"], metadata.tables["orders"]
    with engine.connect() as connection:
        query = select(customers.c.email, func.count()).join(orders).group_by(customers.c.email).order_by(customers.c.email)
        equal(len(connection.execute(query.limit(3)).all()), 3)


def orm():
    with Session(engine) as session:
        session.add_all([Item(driver="sqlalchemy", n=n) for n in range(5)])
        session.commit()
        item = session.scalars(select(Item).where(Item.driver == "sqlalchemy", Item.n == 3)).one()
        item.note = "changed"
        session.flush()
        with session.begin_nested() as nested:
            session.add(Item(driver="sqlalchemy", n=99))
            session.flush()
            nested.rollback()
        session.commit()
        session.delete(item)
        session.rollback()
        equal(session.scalar(select(func.count()).where(Item.driver == "sqlalchemy")), 5)
        equal(session.scalar(select(Item.note).where(Item.driver == "sqlalchemy", Item.n == 3)), "changed")


def bulk():
    with engine.begin() as connection:
        result = connection.execute(
            insert(Item).returning(Item.n, sort_by_parameter_order=True),
            [{"driver": "sqlalchemy-bulk", "n": n} for n in range(2000)])
        equal([row.n for row in result], list(range(2000)))


def langchain():
    with engine.begin() as connection:
        connection.exec_driver_sql("SET search_path TO public")
        names = "id, name, email"
        rows = connection.exec_driver_sql(f"SELECT {names} FROM customers ORDER BY id LIMIT 3").all()
        equal(rows[0], (2, "Oona Dahl", "o***@example.net"))


def langchain_denial():
    with engine.connect() as connection:
        error = error_of(exc.ProgrammingError, lambda: connection.execute(text("SELECT * FROM payroll LIMIT 3")))
        equal(error.orig.diag.message_primary, DENIAL)
        equal(error.connection_invalidated, False)


def error_in_transaction():
    with engine.connect() as connection:
        error_of(exc.ProgrammingError, lambda: connection.execute(text("SELECT * FROM payroll")))
        error_of(exc.InternalError, lambda: connection.execute(text("SELECT 1")))
        connection.rollback()
        equal(connection.scalar(text("SELECT 1")), 1)


def isolation():
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        equal(connection.scalar(text("SHOW transaction_isolation")), "repeatable read")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        equal(connection.scalar(text("SELECT 1")), 1)


def stream():
    with engine.connect() as connection:
        result = connection.execution_options(yield_per=100).execute(text("SELECT id FROM orders"))
        equal(sum(1 for _ in result), 3000)


def over_asyncpg():
    async def body():
        own_engine = create_async_engine("postgresql+asyncpg://")
        async with own_engine.connect() as connection:
            names = await connection.run_sync(lambda inner: inspect(inner).get_table_names())
            equal(own(sorted(names)), ["customers", "driver_items", "orders", "products"])
            rows = await connection.execute(text("SELECT email FROM customers WHERE id = :id"), {"id": 2})
            equal(rows.scalar(), "o***@example.net")
        await own_engine.dispose()

    asyncio.run(body())


def reconnect():
    engine.dispose()
    with engine.connect() as connection:
        equal(connection.scalar(text("SELECT count(*) FROM driver_items WHERE driver = 'sqlalchemy'")), 5)


check("inspector lists what may be used, and no more", inspector)
check("reflection of all tables, and a query of them", reflection)
check("reflection of a table that is not granted", unknown)
check("a join of reflected tables", join)
check("ORM: insert, update, savepoint, rollback", orm)
check("bulk insert with results in order", bulk)
check("LangChain: SET search_path, sample rows", langchain)
check("a denial is a ProgrammingError, by its exact message", langchain_denial)
check("an error inside a transaction leaves it aborted", error_in_transaction)
check("isolation levels", isolation)
check("a stream of rows", stream)
check("the same over asyncpg", over_asyncpg)
check("pool disposed, reconnect", reconnect)
done()
