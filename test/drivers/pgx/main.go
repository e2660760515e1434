// Checks of pgx v5: statement cache with binary results, batches, pipelines, COPY, both query modes, pool.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// What a refused read of a table no policy names must say, word for word.
const denial = "policy data/drivers does not allow SELECT on public.payroll; use one of: public.customers, " +
	"public.driver_items, public.orders, public.pgbench_accounts, public.pgbench_branches, public.pgbench_history, " +
	"public.pgbench_tellers, public.products"

func check(name string, body func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := body(ctx); err != nil {
		fmt.Printf("not ok %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	fmt.Printf("ok %s\n", name)
}

func equal(actual, expected any) error {
	if reflect.DeepEqual(actual, expected) {
		return nil
	}
	return fmt.Errorf("expected %v, got %v", expected, actual)
}

// code is the SQLSTATE and message of a server error.
func code(err error) (string, string) {
	var found *pgconn.PgError
	if errors.As(err, &found) {
		return found.Code, found.Message
	}
	return "", fmt.Sprint(err)
}

func expectDenial(err error) error {
	sqlstate, message := code(err)
	return errors.Join(equal(sqlstate, "42501"), equal(message, denial))
}

func expectCode(err error, expected string) error {
	sqlstate, message := code(err)
	if sqlstate == expected {
		return nil
	}
	return fmt.Errorf("expected %s, got %s %s", expected, sqlstate, message)
}

func list[T any](ctx context.Context, db interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}, text string, arguments ...any) ([]T, error) {
	rows, err := db.Query(ctx, text, arguments...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

func main() {
	pool, err := pgxpool.New(context.Background(), "")
	if err != nil {
		fmt.Println("not ok pool:", err)
		os.Exit(1)
	}

	modes := map[string]pgx.QueryExecMode{
		"cached statements": pgx.QueryExecModeCacheStatement,
		"cached describe":   pgx.QueryExecModeCacheDescribe,
		"describe and exec": pgx.QueryExecModeDescribeExec,
		"exec":              pgx.QueryExecModeExec,
		"simple protocol":   pgx.QueryExecModeSimpleProtocol,
	}
	for name, mode := range modes {
		check("parameters and masked values: "+name, func(ctx context.Context) error {
			for range 3 {
				var email string
				var year int
				row := pool.QueryRow(ctx, "SELECT email, date_part('year', birth_date)::int FROM customers WHERE id = $1 AND name = $2",
					mode, 2, "Oona Dahl")
				if err := row.Scan(&email, &year); err != nil {
					return err
				}
				if err := equal(email, "o***@example.net"); err != nil {
					return err
				}
			}
			return nil
		})
		check("a denial: "+name, func(ctx context.Context) error {
			_, err := list[int](ctx, pool, "SELECT id FROM payroll WHERE id = $1", mode, 1)
			return expectDenial(err)
		})
	}

	check("binary results of many types", func(ctx context.Context) error {
		var text string
		var number int64
		var numbers []int32
		var at time.Time
		var raw []byte
		err := pool.QueryRow(ctx, "SELECT $1::text, $2::int8, $3::int4[], $4::timestamptz, $5::bytea",
			"x", int64(1)<<40, []int32{1, 2}, time.Unix(1700000000, 0), []byte{0, 255}).Scan(&text, &number, &numbers, &at, &raw)
		return errors.Join(err, equal(number, int64(1)<<40), equal(numbers, []int32{1, 2}), equal(at.Unix(), int64(1700000000)), equal(raw, []byte{0, 255}))
	})

	check("all columns of a view of a table", func(ctx context.Context) error {
		rows, err := pool.Query(ctx, "SELECT * FROM customers WHERE id = ANY($1) ORDER BY id", []int32{1, 2, 5})
		if err != nil {
			return err
		}
		maps, err := pgx.CollectRows(rows, pgx.RowToMap)
		if err != nil {
			return err
		}
		_, visible := maps[0]["password_hash"]
		return errors.Join(equal(len(maps), 2), equal(maps[1]["email"], "d***@example.net"), equal(visible, false))
	})

	const insert = "INSERT INTO driver_items (driver, n) VALUES ('pgx', $1)"
	check("transaction: commit, rollback, savepoint", func(ctx context.Context) error {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, insert, 1); err != nil {
				return err
			}
			inner := pgx.BeginFunc(ctx, tx, func(nested pgx.Tx) error {
				_, err := nested.Exec(ctx, insert, 1)
				return err
			})
			if err := expectCode(inner, "23505"); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, insert, 2)
			return err
		})
		if err != nil {
			return err
		}
		tx, err := pool.Begin(ctx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, insert, 3)
		found, second := list[int], tx.Rollback(ctx)
		values, third := found(ctx, pool, "SELECT n FROM driver_items WHERE driver = 'pgx' ORDER BY n")
		return errors.Join(err, second, third, equal(values, []int{1, 2}))
	})

	check("COPY in and out", func(ctx context.Context) error {
		rows := [][]any{{"pgx-copy", int32(1), "one"}, {"pgx-copy", int32(2), nil}}
		count, err := pool.CopyFrom(ctx, pgx.Identifier{"driver_items"}, []string{"driver", "n", "note"}, pgx.CopyFromRows(rows))
		if err != nil {
			return err
		}
		connection, err := pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer connection.Release()
		var out bytes.Buffer
		_, err = connection.Conn().PgConn().CopyTo(ctx, &out,
			"COPY (SELECT n, note FROM driver_items WHERE driver = 'pgx-copy' ORDER BY n) TO STDOUT (FORMAT csv)")
		if err != nil {
			return err
		}
		_, denied := connection.Conn().PgConn().CopyTo(ctx, &out, "COPY payroll TO STDOUT")
		return errors.Join(equal(count, int64(2)), equal(out.String(), "1,one\n2,\n"), expectDenial(denied))
	})

	check("a batch of 100 statements", func(ctx context.Context) error {
		batch := &pgx.Batch{}
		sum := 0
		for n := range 100 {
			batch.Queue("SELECT $1::int", n).QueryRow(func(row pgx.Row) error {
				var found int
				err := row.Scan(&found)
				sum += found
				return err
			})
		}
		return errors.Join(pool.SendBatch(ctx, batch).Close(), equal(sum, 4950))
	})

	check("a denial in a batch undoes it", func(ctx context.Context) error {
		batch := &pgx.Batch{}
		batch.Queue("INSERT INTO driver_items (driver, n) VALUES ('pgx-batch', $1)", 1)
		batch.Queue("SELECT * FROM payroll")
		if err := expectDenial(pool.SendBatch(ctx, batch).Close()); err != nil {
			return err
		}
		found, err := list[int](ctx, pool, "SELECT n FROM driver_items WHERE driver = 'pgx-batch'")
		return errors.Join(err, equal(len(found), 0))
	})

	check("a pipeline with a denial between two Syncs", func(ctx context.Context) error {
		connection, err := pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer connection.Release()
		pipeline := connection.Conn().PgConn().StartPipeline(ctx)
		for _, text := range []string{"SELECT 1", "SELECT * FROM payroll", "SELECT 3"} {
			pipeline.SendQueryParams(text, nil, nil, nil, nil)
			if err := pipeline.Sync(); err != nil {
				return err
			}
		}
		var seen []string
		for range 6 {
			result, err := pipeline.GetResults()
			switch each := result.(type) {
			case *pgconn.ResultReader:
				rows := each.Read()
				if rows.Err != nil {
					sqlstate, _ := code(rows.Err)
					seen = append(seen, sqlstate)
				} else {
					seen = append(seen, string(rows.Rows[0][0]))
				}
			case *pgconn.PipelineSync:
				seen = append(seen, "sync")
			default:
				sqlstate, _ := code(err)
				seen = append(seen, sqlstate)
			}
		}
		return errors.Join(pipeline.Close(), equal(seen, []string{"1", "sync", "42501", "sync", "3", "sync"}))
	})

	check("a denial inside a transaction aborts it", func(ctx context.Context) error {
		tx, err := pool.Begin(ctx)
		if err != nil {
			return err
		}
		_, denied := tx.Exec(ctx, "SELECT * FROM payroll")
		_, aborted := tx.Exec(ctx, "SELECT 1")
		commit := tx.Commit(ctx)
		if !errors.Is(commit, pgx.ErrTxCommitRollback) {
			return fmt.Errorf("commit: %w", commit)
		}
		return errors.Join(expectDenial(denied), expectCode(aborted, "25P02"))
	})

	check("stacked statements of the simple protocol", func(ctx context.Context) error {
		_, err := pool.Exec(ctx, "COMMIT; DROP TABLE orders")
		return expectCode(err, "42501")
	})

	check("pings: comment and empty statement", func(ctx context.Context) error {
		_, err := pool.Exec(ctx, "-- ping")
		return errors.Join(err, pool.Ping(ctx))
	})

	check("session reset", func(ctx context.Context) error {
		connection, err := pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer connection.Release()
		_, first := connection.Exec(ctx, "SET TimeZone = 'Asia/Tokyo'")
		_, second := connection.Exec(ctx, "DISCARD ALL")
		connection.Conn().DeallocateAll(ctx)
		zone, third := list[string](ctx, connection, "SHOW TimeZone")
		return errors.Join(first, second, third, equal(zone, []string{"UTC"}))
	})

	check("a context that ends cancels", func(ctx context.Context) error {
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		_, err := pool.Exec(short, "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b")
		if !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("expected a deadline, got %w", err)
		}
		return pool.Ping(ctx)
	})

	check("protocol 3.2", func(ctx context.Context) error {
		config, err := pgx.ParseConfig("max_protocol_version=3.2")
		if err != nil {
			return err
		}
		connection, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return err
		}
		emails, err := list[string](ctx, connection, "SELECT email FROM customers WHERE id = 2")
		return errors.Join(err, equal(emails, []string{"o***@example.net"}), connection.Close(ctx))
	})

	check("reconnect", func(ctx context.Context) error {
		pool.Reset()
		found, err := list[int](ctx, pool, "SELECT n FROM driver_items WHERE driver = 'pgx' ORDER BY n")
		return errors.Join(err, equal(found, []int{1, 2}))
	})
	pool.Close()
	fmt.Println("done")
}
