"""Prints a line a check, as every driver program does."""

import inspect
import traceback

# What a refused read of a table no policy names must say, word for word.
DENIAL = (
    "policy data/drivers does not allow SELECT on public.payroll; use one of: public.customers, public.driver_items,"
    " public.orders, public.pgbench_accounts, public.pgbench_branches, public.pgbench_history, public.pgbench_tellers,"
    " public.products"
)
SLOW = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b"


def report(name, error=None):
    if error is None:
        print(f"ok {name}", flush=True)
        return
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(f"{type(error).__name__}: {error} ({last.name}:{last.lineno})".split())
    print(f"not ok {name}: {text}", flush=True)


def check(name, body):
    try:
        body()
        report(name)
    except Exception as error:
        report(name, error)


async def check_async(name, body):
    try:
        await body()
        report(name)
    except Exception as error:
        report(name, error)


def equal(actual, expected):
    if actual != expected:
        raise AssertionError(f"expected {expected!r}, got {actual!r}")


def error_of(kind, body):
    try:
        body()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


async def error_of_async(kind, awaitable):
    try:
        await awaitable
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def done():
    print("done", flush=True)
