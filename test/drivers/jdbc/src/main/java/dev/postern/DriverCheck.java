package dev.postern;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.postgresql.PGConnection;
import org.postgresql.util.PSQLException;

/** Checks of pgjdbc under HikariCP: server-side statements, binary transfer, batches, portals, COPY, metadata. */
public final class DriverCheck {
  /** What a refused read of a table no policy names must say, word for word. */
  private static final String DENIAL =
      "policy data/drivers does not allow SELECT on public.payroll; use one of: public.customers, public.driver_items, "
          + "public.orders, public.pgbench_accounts, public.pgbench_branches, public.pgbench_history, "
          + "public.pgbench_tellers, public.products";
  private static final String URL =
      "jdbc:postgresql://127.0.0.1:" + System.getenv("PGPORT") + "/shop?user=driver-bot&password=ignored";

  interface Body {
    void run() throws Exception;
  }

  private static void check(String name, Body body) {
    try {
      body.run();
      System.out.println("ok " + name);
    } catch (Exception error) {
      System.out.println("not ok " + name + ": " + String.valueOf(error).replace('\n', ' '));
    }
  }

  private static void equal(Object actual, Object expected) {
    if (!Objects.equals(actual, expected)) {
      throw new IllegalStateException("expected " + expected + ", got " + actual);
    }
  }

  private static PSQLException errorOf(Body body) throws Exception {
    try {
      body.run();
    } catch (PSQLException error) {
      return error;
    }
    throw new IllegalStateException("no error");
  }

  private static void expectDenial(PSQLException error) {
    equal(error.getSQLState(), "42501");
    equal(error.getServerErrorMessage().getMessage(), DENIAL);
  }

  private static List<String> strings(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
      return column(rows, 1);
    }
  }

  private static List<String> column(ResultSet rows, int index) throws SQLException {
    List<String> found = new ArrayList<>();
    while (rows.next()) {
      found.add(rows.getString(index));
    }
    return found;
  }

  private static List<String> column(ResultSet rows, String name) throws SQLException {
    List<String> found = new ArrayList<>();
    while (rows.next()) {
      if (!String.valueOf(rows.getString("TABLE_NAME")).startsWith("pgbench")) {
        found.add(rows.getString(name));
      }
    }
    return found;
  }

  public static void main(String[] arguments) throws Exception {
    HikariConfig config = new HikariConfig();
    config.setJdbcUrl(URL);
    config.setMaximumPoolSize(2);
    config.setConnectionTestQuery("SELECT 1");
    try (HikariDataSource pool = new HikariDataSource(config)) {
      queries(pool);
      transactions(pool);
      copies(pool);
      denials(pool);
      metadata(pool);
      sessions(pool);
    }
    check("every query mode", DriverCheck::queryModes);
    check("reconnect", () -> {
      try (Connection connection = DriverManager.getConnection(URL)) {
        equal(strings(connection, "SELECT n FROM driver_items WHERE driver = 'jdbc' ORDER BY n"), List.of("1", "2"));
      }
    });
    System.out.println("done");
  }

  private static void queries(HikariDataSource pool) {
    check("prepared past the threshold, binary transfer", () -> {
      try (Connection connection = pool.getConnection();
          PreparedStatement statement =
              connection.prepareStatement("SELECT id, email, birth_date, created_at FROM customers WHERE id = ?")) {
        for (int round = 0; round < 10; round++) {
          statement.setInt(1, 2);
          try (ResultSet rows = statement.executeQuery()) {
            rows.next();
            equal(rows.getInt(1), 2);
            equal(rows.getString(2), "o***@example.net");
            equal(rows.getDate(3).toLocalDate().getDayOfYear(), 1);
          }
        }
      }
    });
    check("parameters of many types", () -> {
      try (Connection connection = pool.getConnection();
          PreparedStatement statement =
              connection.prepareStatement("SELECT ?::text, ?::int, ?::int[], ?::numeric, ?::bytea, ?::text")) {
        statement.setString(1, "x");
        statement.setInt(2, 7);
        statement.setArray(3, connection.createArrayOf("int4", new Integer[] {1, 2}));
        statement.setBigDecimal(4, new java.math.BigDecimal("1.50"));
        statement.setBytes(5, new byte[] {0, (byte) 255});
        statement.setNull(6, java.sql.Types.VARCHAR);
        try (ResultSet rows = statement.executeQuery()) {
          rows.next();
          equal(rows.getInt(2), 7);
          equal(rows.getArray(3).toString(), "{1,2}");
          equal(rows.getBytes(5).length, 2);
          equal(rows.getString(6), null);
        }
      }
    });
    check("masked, hidden and filtered columns", () -> {
      try (Connection connection = pool.getConnection();
          Statement statement = connection.createStatement();
          ResultSet rows = statement.executeQuery("SELECT * FROM customers WHERE id IN (1, 2, 5) ORDER BY id")) {
        for (int index = 1; index <= rows.getMetaData().getColumnCount(); index++) {
          equal(rows.getMetaData().getColumnName(index).equals("password_hash"), false);
        }
        rows.next();
        equal(rows.getString("email"), "o***@example.net");
        rows.next();
        equal(rows.getString("email"), "d***@example.net");
        equal(rows.next(), false);
      }
    });
    check("a portal with fetch size", () -> {
      try (Connection connection = pool.getConnection()) {
        connection.setAutoCommit(false);
        try (PreparedStatement statement = connection.prepareStatement("SELECT id FROM orders ORDER BY id")) {
          statement.setFetchSize(100);
          try (ResultSet rows = statement.executeQuery()) {
            equal(column(rows, 1).size(), 3000);
          }
        }
        connection.commit();
        connection.setAutoCommit(true);
      }
    });
    check("a batch, with keys", () -> {
      try (Connection connection = pool.getConnection();
          PreparedStatement statement = connection.prepareStatement(
              "INSERT INTO driver_items (driver, n) VALUES ('jdbc-batch', ?)", Statement.RETURN_GENERATED_KEYS)) {
        for (int n = 0; n < 300; n++) {
          statement.setInt(1, n);
          statement.addBatch();
        }
        equal(statement.executeBatch().length, 300);
        try (ResultSet keys = statement.getGeneratedKeys()) {
          equal(column(keys, 1).size(), 300);
        }
      }
    });
    check("a batch rewritten to one statement", () -> {
      try (Connection connection = DriverManager.getConnection(URL + "&reWriteBatchedInserts=true");
          PreparedStatement statement =
              connection.prepareStatement("INSERT INTO driver_items (driver, n) VALUES ('jdbc-rewritten', ?)")) {
        for (int n = 0; n < 300; n++) {
          statement.setInt(1, n);
          statement.addBatch();
        }
        statement.executeBatch();
        equal(strings(connection, "SELECT count(*) FROM driver_items WHERE driver = 'jdbc-rewritten'"), List.of("300"));
      }
    });
    check("an updatable result", () -> {
      try (Connection connection = pool.getConnection();
          Statement statement =
              connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
          ResultSet rows = statement.executeQuery("SELECT id, note FROM driver_items WHERE driver = 'jdbc-batch' AND n = 1")) {
        rows.next();
        rows.updateString("note", "updated");
        rows.updateRow();
        equal(strings(connection, "SELECT note FROM driver_items WHERE driver = 'jdbc-batch' AND n = 1"), List.of("updated"));
      }
    });
  }

  private static void insert(Connection connection, int n) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement("INSERT INTO driver_items (driver, n) VALUES ('jdbc', ?)")) {
      statement.setInt(1, n);
      statement.executeUpdate();
    }
  }

  private static void transactions(HikariDataSource pool) {
    check("transaction: commit, rollback, savepoint", () -> {
      try (Connection connection = pool.getConnection()) {
        connection.setAutoCommit(false);
        insert(connection, 1);
        Savepoint savepoint = connection.setSavepoint("s");
        equal(errorOf(() -> insert(connection, 1)).getSQLState(), "23505");
        connection.rollback(savepoint);
        insert(connection, 2);
        connection.commit();
        insert(connection, 3);
        connection.rollback();
        equal(strings(connection, "SELECT n FROM driver_items WHERE driver = 'jdbc' ORDER BY n"), List.of("1", "2"));
        connection.commit();
        connection.setAutoCommit(true);
      }
    });
    check("isolation and read-only", () -> {
      try (Connection connection = pool.getConnection()) {
        connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        equal(connection.getTransactionIsolation(), Connection.TRANSACTION_SERIALIZABLE);
        connection.setReadOnly(true);
        connection.setAutoCommit(false);
        equal(errorOf(() -> insert(connection, 9)).getSQLState(), "25006");
        connection.rollback();
      }
    });
  }

  private static void copies(HikariDataSource pool) {
    check("CopyManager in and out", () -> {
      try (Connection connection = pool.getConnection()) {
        var copy = connection.unwrap(PGConnection.class).getCopyAPI();
        equal(copy.copyIn("COPY driver_items (driver, n, note) FROM STDIN (FORMAT csv)",
            new StringReader("jdbc-copy,1,one\njdbc-copy,2,\n")), 2L);
        StringWriter out = new StringWriter();
        copy.copyOut("COPY (SELECT n, note FROM driver_items WHERE driver = 'jdbc-copy' ORDER BY n) TO STDOUT (FORMAT csv)", out);
        equal(out.toString(), "1,one\n2,\n");
        expectDenial(errorOf(() -> copy.copyOut("COPY payroll TO STDOUT", new StringWriter())));
      }
    });
  }

  private static void denials(HikariDataSource pool) {
    check("a denial, by its exact message, and the session lives", () -> {
      try (Connection connection = pool.getConnection()) {
        expectDenial(errorOf(() -> strings(connection, "SELECT * FROM payroll")));
        equal(strings(connection, "SELECT 1"), List.of("1"));
      }
    });
    check("a denial inside a transaction aborts it", () -> {
      try (Connection connection = pool.getConnection()) {
        connection.setAutoCommit(false);
        expectDenial(errorOf(() -> strings(connection, "SELECT * FROM payroll")));
        equal(errorOf(() -> strings(connection, "SELECT 1")).getSQLState(), "25P02");
        connection.rollback();
        equal(strings(connection, "SELECT 1"), List.of("1"));
        connection.commit();
        connection.setAutoCommit(true);
      }
    });
    check("a denial in a batch", () -> {
      try (Connection connection = pool.getConnection(); Statement statement = connection.createStatement()) {
        statement.addBatch("INSERT INTO driver_items (driver, n) VALUES ('jdbc-denied', 1)");
        statement.addBatch("UPDATE payroll SET amount = 1");
        try {
          statement.executeBatch();
          throw new IllegalStateException("no error");
        } catch (java.sql.BatchUpdateException error) {
          equal(error.getSQLState(), "42501");
        }
      }
    });
  }

  private static void metadata(HikariDataSource pool) {
    check("metadata: tables and columns that may be used, and no more", () -> {
      try (Connection connection = pool.getConnection()) {
        DatabaseMetaData data = connection.getMetaData();
        try (ResultSet tables = data.getTables(null, "public", "%", new String[] {"TABLE"})) {
          equal(column(tables, "TABLE_NAME"), List.of("customers", "driver_items", "orders", "products"));
        }
        try (ResultSet columns = data.getColumns(null, "public", "customers", "%")) {
          List<String> names = column(columns, "COLUMN_NAME");
          equal(names.contains("email"), true);
          equal(names.contains("password_hash"), false);
        }
        try (ResultSet tables = data.getTables(null, null, "payroll", null)) {
          equal(tables.next(), false);
        }
      }
    });
    check("metadata: keys", () -> {
      try (Connection connection = pool.getConnection()) {
        DatabaseMetaData data = connection.getMetaData();
        try (ResultSet keys = data.getPrimaryKeys(null, "public", "customers")) {
          equal(column(keys, "COLUMN_NAME"), List.of("id"));
        }
        try (ResultSet keys = data.getImportedKeys(null, "public", "orders")) {
          keys.next();
          equal(keys.getString("PKTABLE_NAME"), "customers");
        }
        try (ResultSet keys = data.getIndexInfo(null, "public", "driver_items", false, true)) {
          equal(keys.next(), true);
        }
      }
    });
    check("metadata: the rest", () -> {
      try (Connection connection = pool.getConnection()) {
        DatabaseMetaData data = connection.getMetaData();
        data.getSchemas().close();
        data.getCatalogs().close();
        data.getTableTypes().close();
        data.getTypeInfo().close();
        data.getExportedKeys(null, "public", "customers").close();
        data.getCrossReference(null, "public", "customers", null, "public", "orders").close();
        data.getBestRowIdentifier(null, "public", "customers", DatabaseMetaData.bestRowSession, true).close();
        data.getVersionColumns(null, "public", "customers").close();
        data.getTablePrivileges(null, "public", "customers").close();
        data.getColumnPrivileges(null, "public", "customers", "%").close();
        data.getFunctions(null, "public", "%").close();
        data.getProcedures(null, "public", "%").close();
        data.getUDTs(null, "public", "%", null).close();
        data.getClientInfoProperties().close();
        equal(data.getMaxConnections() > 0, true);
        equal(data.getMaxColumnNameLength(), 63);
        equal(data.getDatabaseMajorVersion() >= 13, true);
        data.getSQLKeywords();
      }
    });
  }

  private static void sessions(HikariDataSource pool) {
    check("pool: many connections in turn, isValid, setSchema, network time-out", () -> {
      for (int round = 0; round < 20; round++) {
        try (Connection connection = pool.getConnection()) {
          equal(connection.isValid(2), true);
          equal(connection.getSchema(), "public");
          connection.setSchema("public");
          connection.setNetworkTimeout(Runnable::run, 10_000);
        }
      }
    });
    check("DISCARD ALL keeps the pins", () -> {
      try (Connection connection = DriverManager.getConnection(URL + "&prepareThreshold=0")) {
        strings(connection, "SELECT 1");
        try (Statement statement = connection.createStatement()) {
          statement.execute("SET TimeZone = 'Asia/Tokyo'");
          statement.execute("DISCARD ALL");
        }
        equal(strings(connection, "SELECT email FROM customers WHERE id = 2"), List.of("o***@example.net"));
        equal(strings(connection, "SHOW search_path"), List.of("public, pg_temp"));
      }
    });
    check("query time-out cancels", () -> {
      try (Connection connection = pool.getConnection(); Statement statement = connection.createStatement()) {
        statement.setQueryTimeout(1);
        PSQLException error = errorOf(() ->
            statement.execute("SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b"));
        equal(error.getSQLState(), "57014");
      }
    });
    check("escapes and call syntax", () -> {
      try (Connection connection = pool.getConnection()) {
        equal(strings(connection, "SELECT {fn ucase('a')}, {d '2026-01-31'}"), List.of("A"));
      }
    });
  }

  private static void queryModes() throws Exception {
    for (String mode : List.of("extended", "extendedForPrepared", "extendedCacheEverything", "simple")) {
      try (Connection connection = DriverManager.getConnection(URL + "&preferQueryMode=" + mode);
          PreparedStatement statement = connection.prepareStatement("SELECT email FROM customers WHERE id = ?")) {
        for (int round = 0; round < 6; round++) {
          statement.setInt(1, 2);
          try (ResultSet rows = statement.executeQuery()) {
            equal(column(rows, 1), List.of("o***@example.net"));
          }
        }
        expectDenial(errorOf(() -> strings(connection, "SELECT * FROM payroll")));
      }
    }
  }
}
