/** Command tags by statement node. Source: PostgreSQL's CreateCommandTag, by behaviour. */
const TAGS: Readonly<Record<string, string>> = {
  SelectStmt: 'SELECT',
  InsertStmt: 'INSERT',
  UpdateStmt: 'UPDATE',
  DeleteStmt: 'DELETE',
  MergeStmt: 'MERGE',
  CopyStmt: 'COPY',
  ExplainStmt: 'EXPLAIN',
  PrepareStmt: 'PREPARE',
  ExecuteStmt: 'EXECUTE',
  DeallocateStmt: 'DEALLOCATE',
  DeclareCursorStmt: 'DECLARE CURSOR',
  FetchStmt: 'FETCH',
  ClosePortalStmt: 'CLOSE CURSOR',
  VariableShowStmt: 'SHOW',
  DiscardStmt: 'DISCARD',
  ListenStmt: 'LISTEN',
  UnlistenStmt: 'UNLISTEN',
  NotifyStmt: 'NOTIFY',
  ConstraintsSetStmt: 'SET CONSTRAINTS',
  CreateStmt: 'CREATE TABLE',
  CreateTableAsStmt: 'CREATE TABLE AS',
  TruncateStmt: 'TRUNCATE TABLE',
  LockStmt: 'LOCK TABLE',
  DoStmt: 'DO',
  CallStmt: 'CALL',
  VacuumStmt: 'VACUUM',
  IndexStmt: 'CREATE INDEX',
  ViewStmt: 'CREATE VIEW',
  CreateFunctionStmt: 'CREATE FUNCTION',
  CreateTrigStmt: 'CREATE TRIGGER',
  CreateExtensionStmt: 'CREATE EXTENSION',
  CreateSchemaStmt: 'CREATE SCHEMA',
  CreateSeqStmt: 'CREATE SEQUENCE',
  CreateRoleStmt: 'CREATE ROLE',
  AlterRoleStmt: 'ALTER ROLE',
  AlterTableStmt: 'ALTER TABLE',
  AlterSystemStmt: 'ALTER SYSTEM',
  AlterDefaultPrivilegesStmt: 'ALTER DEFAULT PRIVILEGES',
  RenameStmt: 'ALTER',
  GrantStmt: 'GRANT',
  GrantRoleStmt: 'GRANT ROLE',
  CommentStmt: 'COMMENT',
  SecLabelStmt: 'SECURITY LABEL',
  CheckPointStmt: 'CHECKPOINT',
  LoadStmt: 'LOAD',
  ClusterStmt: 'CLUSTER',
  ReindexStmt: 'REINDEX',
  RefreshMatViewStmt: 'REFRESH MATERIALIZED VIEW',
  RuleStmt: 'CREATE RULE',
  DropRoleStmt: 'DROP ROLE',
  ReassignOwnedStmt: 'REASSIGN OWNED',
  DropOwnedStmt: 'DROP OWNED',
};

const TRANSACTION_TAGS: Readonly<Record<string, string>> = {
  TRANS_STMT_BEGIN: 'BEGIN',
  TRANS_STMT_START: 'START TRANSACTION',
  TRANS_STMT_COMMIT: 'COMMIT',
  TRANS_STMT_ROLLBACK: 'ROLLBACK',
  TRANS_STMT_SAVEPOINT: 'SAVEPOINT',
  TRANS_STMT_RELEASE: 'RELEASE',
  TRANS_STMT_ROLLBACK_TO: 'ROLLBACK',
  TRANS_STMT_PREPARE: 'PREPARE TRANSACTION',
  TRANS_STMT_COMMIT_PREPARED: 'COMMIT PREPARED',
  TRANS_STMT_ROLLBACK_PREPARED: 'ROLLBACK PREPARED',
};

const DROPPED: Readonly<Record<string, string>> = {
  OBJECT_TABLE: 'DROP TABLE',
  OBJECT_VIEW: 'DROP VIEW',
  OBJECT_MATVIEW: 'DROP MATERIALIZED VIEW',
  OBJECT_SCHEMA: 'DROP SCHEMA',
  OBJECT_FUNCTION: 'DROP FUNCTION',
  OBJECT_INDEX: 'DROP INDEX',
  OBJECT_SEQUENCE: 'DROP SEQUENCE',
  OBJECT_TYPE: 'DROP TYPE',
};

function spelled(node: string): string {
  return node
    .replace(/Stmt$/, '')
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toUpperCase();
}

/** The tag a statement would complete with, as far as its node tells. */
export function commandTag(node: string, content: Readonly<Record<string, unknown>>): string {
  const kind = content['kind'];
  if (node === 'TransactionStmt') return TRANSACTION_TAGS[String(kind)] ?? 'BEGIN';
  if (node === 'VariableSetStmt') return kind === 'VAR_RESET' || kind === 'VAR_RESET_ALL' ? 'RESET' : 'SET';
  if (node === 'DropStmt') return DROPPED[String(content['removeType'])] ?? 'DROP';
  if (node === 'DiscardStmt')
    return (typeof content['target'] === 'string' ? content['target'] : 'DISCARD_ALL').replace('_', ' ');
  if (node === 'DeallocateStmt') return content['isall'] === true ? 'DEALLOCATE ALL' : 'DEALLOCATE';
  if (node === 'ClosePortalStmt') return content['portalname'] === undefined ? 'CLOSE CURSOR ALL' : 'CLOSE CURSOR';
  if (node === 'VacuumStmt') return content['is_vacuumcmd'] === true ? 'VACUUM' : 'ANALYZE';
  if (node === 'FetchStmt') return content['ismove'] === true ? 'MOVE' : 'FETCH';
  if (node === 'SelectStmt' && content['intoClause'] !== undefined) return 'SELECT INTO';
  return TAGS[node] ?? spelled(node);
}

const WRITES: ReadonlySet<string> = new Set(['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);

/** The tag of a statement that changes rows; `undefined` for any other node. */
export function writeCommand(node: string): string | undefined {
  return WRITES.has(node) ? TAGS[node] : undefined;
}
