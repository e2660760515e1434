/**
 * What `kubectl explain` says of each field, by its path; `[]` stands for an entry of a list, `{}` for a value of a map. Only the
 * generator of the CRDs reads this, so that no proxy loads it.
 */
export const CONNECTION_DOCUMENTATION: Readonly<Record<string, string>> = {
  '': 'DatabaseConnection names a database, how it is reached and with which credentials, and which workloads may be let in. It stands in the namespace of the team that owns the database, beside the Secret with its password. Agents reach it through a sidecar that the label postern.dev/inject and the annotation postern.dev/connections ask for. What they may do there is said by DatabaseAccessPolicies in the same namespace.',
  spec: 'The database, and who may be let in.',
  'spec.engine':
    'The kind of database server. Postgres: PostgreSQL 13 or newer, and what speaks its protocol and has its catalogs.',
  'spec.host':
    "The database's host name or address, as the agent's pod resolves it, e.g. shop-rw.data.svc; outside of a cluster also the absolute path of a unix socket's folder.",
  'spec.port': 'The TCP port of the database.',
  'spec.database': 'The name of the database, exactly as the catalog holds it.',
  'spec.searchPath':
    'The schemas in which unqualified names are looked up. The agent cannot widen it past what its policies grant.',
  'spec.searchPath[]': 'The name of a schema, exactly as the catalog holds it.',
  'spec.tls': 'How the connection from the sidecar to the database is protected.',
  'spec.tls.mode':
    'Disable: no TLS. Require: TLS, but any certificate is taken. VerifyCA: the certificate is from a known authority. VerifyFull: it also carries the name of the host.',
  'spec.tls.caSecretRef':
    "Where the certificate authority stands; without it the system's own authorities are used. Read with VerifyCA and VerifyFull. The Secret stands in this namespace and carries the label postern.dev/connection with this connection's name.",
  'spec.tls.caSecretRef.name': 'The name of the Secret, in the same namespace.',
  'spec.tls.caSecretRef.key': 'The key within the Secret, e.g. ca.crt: one or more certificates in PEM.',
  'spec.credentials':
    'The role that the sidecar logs in with. Agents never see it. It should have no right that the policies do not need; the condition LeastPrivilege says which it has too many.',
  'spec.credentials.secretRef': 'A Secret in the same namespace with the keys username and password.',
  'spec.credentials.secretRef.name':
    "The name of the Secret. It must carry the label postern.dev/connection with this connection's name, else it is not read: whoever may edit connections could otherwise send any Secret to a host of their choice.",
  'spec.allowedWorkloads':
    'Which service accounts receive the configuration and are let in. Absent: those that the policies of this connection name. An empty list: nobody. A service account that is not allowed here gets nothing, whatever its pod asks for.',
  'spec.allowedWorkloads[]': 'Service accounts of one namespace; one entry for each namespace.',
  'spec.allowedWorkloads[].namespace': 'The namespace of the agents.',
  'spec.allowedWorkloads[].serviceAccounts': 'The names of the service accounts that may be let in.',
  'spec.allowedWorkloads[].serviceAccounts[]': 'The name of a service account.',
  'spec.clientAuth': 'How an agent proves who it is.',
  'spec.clientAuth.mode':
    "Workload: by its pod's service account. OIDC: in addition by a JSON Web Token given as the password, whose groups and claims the policies may ask for.",
  'spec.clientAuth.oidc': 'The issuer of the tokens; required with mode OIDC.',
  'spec.clientAuth.oidc.issuer': 'The issuer, exactly as it stands in the claim iss, e.g. https://idp.example.',
  'spec.clientAuth.oidc.audience': 'What the claim aud must hold.',
  'spec.clientAuth.oidc.groupsClaim': 'The claim with the list of groups.',
  'spec.clientAuth.oidc.jwksUri': "Where the issuer's keys are. Empty or absent: found through its discovery document.",
  'spec.maskKey':
    'The key of the mask method Hash. Absent: the operator makes one for this connection and keeps it. Give one to get the same tokens in several clusters.',
  'spec.maskKey.secretRef':
    "A key of a Secret in the same namespace, at least 16 bytes. The Secret carries the label postern.dev/connection with this connection's name.",
  'spec.maskKey.secretRef.name': 'The name of the Secret.',
  'spec.maskKey.secretRef.key': 'The key within the Secret, e.g. mask-key.',
  'spec.audit': 'What is recorded, and what happens when it cannot be.',
  'spec.audit.required':
    'true: a statement whose record cannot be written is refused (58030). false: it is forwarded and the gap recorded.',
  'spec.audit.durability':
    "Spool: the record is on the sidecar's volume before the statement is forwarded; it outlives the process, not the pod. Confirmed: it is in the object store before that; every statement waits for it.",
  'spec.audit.results':
    'Masked: results are recorded too, as the agent received them. None: only how many rows and bytes.',
  'spec.audit.parameters': 'Whether the values of bind parameters are recorded. They are not masked.',
  status: 'What the operator found. Written by the operator only.',
  'status.observedGeneration': 'The generation of the spec that this status speaks of.',
  'status.serverVersion': "The server's version, e.g. 16.4.",
  'status.conditions':
    'Ready: credentials can be read and bundles have been written. Reachable: the operator could log in. LeastPrivilege: the role has no right that makes the gate pointless; the message names those it has.',
};

export const POLICY_DOCUMENTATION: Readonly<Record<string, string>> = {
  '': "DatabaseAccessPolicy says what some identities may see and do in a database: which tables, which of their columns and rows, what is masked and how, which statements and how much. It stands in the namespace of its DatabaseConnection, so that the agents' teams cannot widen it. Where several policies match one identity, different tables add up; for the same table the stricter holds. Where none matches, the connection is refused.",
  spec: 'Who is meant, and what they may see and do.',
  'spec.connectionRef': 'The connection that this policy is for, in the same namespace.',
  'spec.connectionRef.name': 'The name of the DatabaseConnection.',
  'spec.mode':
    'Enforce: decide, rewrite and refuse. Observe: forward unchanged what Enforce would refuse or rewrite, and record the decision it would have made. One matching policy that enforces makes all of them enforce.',
  'spec.subjects': 'Who is meant. Any entry matches if all of its fields match. Without entries: nobody.',
  'spec.subjects[]':
    'An identity; every field that is given must match. An empty entry is refused, since it would match everybody.',
  'spec.subjects[].serviceAccount': "The service account of the agent's pod.",
  'spec.subjects[].serviceAccount.namespace': 'Its namespace.',
  'spec.subjects[].serviceAccount.name': 'Its name.',
  'spec.subjects[].group': "A group of the agent's token; needs clientAuth.mode OIDC on the connection.",
  'spec.subjects[].claims':
    "Claims of the agent's token and the values they must have; needs clientAuth.mode OIDC on the connection.",
  'spec.subjects[].claims{}': 'The value that the claim must have: a text, a number, true or false.',
  'spec.tables': 'What may be read and written. A relation that is not listed does not exist for the agent.',
  'spec.tables[]': 'A table, view or materialized view, or all of a schema, and the view that the agent gets of it.',
  'spec.tables[].name':
    'schema.table, exactly as the catalog holds the names, unquoted: public.CustomerNotes. A name with a dot, a star or a space is quoted as in SQL. public.* stands for all relations of the schema; materialized views over masked, hidden or filtered data must be named themselves.',
  'spec.tables[].actions': 'What the agent may do with it. Default: [Select].',
  'spec.tables[].actions[]': 'Select, Insert, Update or Delete.',
  'spec.tables[].columns':
    'The visible columns. Default: ["*"], all of them, also those added to the table later. With a list of names a new column stays invisible.',
  'spec.tables[].columns[]': "A column's name, or * for all.",
  'spec.tables[].hide': 'Columns that do not exist for the agent.',
  'spec.tables[].hide[]': "A column's name.",
  'spec.tables[].mask':
    'Columns whose values are replaced before the statement sees them, so that no part of it can depend on them.',
  'spec.tables[].mask[]': 'Some columns and how they are masked.',
  'spec.tables[].mask[].columns': 'The columns that are masked in this way.',
  'spec.tables[].mask[].columns[]': "A column's name.",
  'spec.tables[].mask[].with': 'The mask. The type of the column is kept.',
  'spec.tables[].mask[].with.method':
    'SetNull: NULL. Redact: [redacted] for text, else NULL. Constant: value. Partial: text with the middle replaced. Email: a***@example.com. Hash: a stable keyed token of 32 hex digits, for joins and grouping. Bucket: a number rounded down to a multiple of size. Truncate: a date or timestamp cut to the year, month or day.',
  'spec.tables[].mask[].with.value':
    "Constant: the value that is shown, cast to the column's type. A text, a number, true or false.",
  'spec.tables[].mask[].with.keepFirst': 'Partial: how many characters at the beginning stay. Default: 0.',
  'spec.tables[].mask[].with.keepLast':
    'Partial: how many characters at the end stay. Default: 0. A text no longer than what is kept is replaced whole.',
  'spec.tables[].mask[].with.fill':
    'Partial: what stands for each replaced character, one printable ASCII character. Default: "*".',
  'spec.tables[].mask[].with.size': 'Bucket: the multiple that a number is rounded down to.',
  'spec.tables[].mask[].with.to': 'Truncate: what a date or timestamp is cut to.',
  'spec.tables[].rowFilter':
    "Which rows exist for the agent: a boolean SQL expression over the table's own columns, literals, and {{ identity.serviceAccount }}, {{ identity.namespace }}, {{ identity.groups }} and {{ identity.claims.NAME }}, which are always quoted as literals. A new row must satisfy it too.",
  'spec.statements': 'Commands that are opened or closed by name, besides what the actions of the tables allow.',
  'spec.statements.allow':
    'PostgreSQL command tags that are allowed, e.g. CREATE TEMPORARY TABLE, which here stands for the temporary form of CREATE TABLE, CREATE TABLE AS and SELECT INTO.',
  'spec.statements.allow[]': 'A command tag in upper case.',
  'spec.statements.deny': 'PostgreSQL command tags that are refused, e.g. TRUNCATE TABLE. Deny wins.',
  'spec.statements.deny[]': 'A command tag in upper case.',
  'spec.functions': "Functions and operators besides PostgreSQL's own harmless ones, which are always allowed.",
  'spec.functions.allow':
    'Functions, operators and extensions that may be called. A function runs with the rights of the connection: it can read what it likes.',
  'spec.functions.allow[]': 'schema.function, operator:schema.op, or extension:name for all of an extension.',
  'spec.guardrails': 'Rules over the statement as a whole. All are evaluated; Deny wins over RequireApproval.',
  'spec.guardrails[]': 'One rule.',
  'spec.guardrails[].name': 'A name that stands in messages and records.',
  'spec.guardrails[].when':
    'A CEL expression over statement (command, hasWhere, relations, columns, functions), identity (namespace, serviceAccount, groups, claims) and connection (namespace, name, database). It is evaluated for the statement and for each one nested in it. An error counts as true.',
  'spec.guardrails[].action': 'Deny: the statement is refused. RequireApproval: it waits for a human.',
  'spec.guardrails[].message': 'What the agent is told to do instead.',
  'spec.approval': 'Who approves, and how long a statement waits.',
  'spec.approval.approvers': 'Who may approve.',
  'spec.approval.approvers[]': 'A group of people.',
  'spec.approval.approvers[].group': 'The name of the group.',
  'spec.approval.timeoutSeconds': 'How long a statement waits before it is refused.',
  'spec.writes': 'What agents that may write could find out by it.',
  'spec.writes.chosenKeys':
    'Allow: the agent may choose the values of unique columns; that a hidden row has the same one shows as 23505, as in row security of PostgreSQL itself. Refuse: only values made by the database.',
  'spec.limits': 'Limits for each identity and sidecar. Without a value: none, except maxStatementBytes.',
  'spec.limits.maxRows': 'How many rows a result may have.',
  'spec.limits.maxResultBytes': 'How many bytes a result may have.',
  'spec.limits.statementTimeoutSeconds': 'How long a statement may run.',
  'spec.limits.maxConnections': 'How many connections may be open at once.',
  'spec.limits.statementsPerMinute': 'How many statements may be sent within a minute.',
  'spec.limits.maxStatementBytes': 'How long the text of a statement may be.',
  'spec.redact':
    'Content that is replaced in results wherever it stands: a second wall behind masks and filters, never the first.',
  'spec.redact.detectors': 'Kinds of content that are found by built-in detectors.',
  'spec.redact.detectors[]': 'The name of a detector.',
  'spec.redact.patterns': 'Kinds of content that are found by a regular expression.',
  'spec.redact.patterns[]': 'One pattern.',
  'spec.redact.patterns[].name': 'A name; [redacted:NAME] stands in the place of a match.',
  'spec.redact.patterns[].regex': 'A regular expression in the syntax of RE2.',
  'spec.redact.maxRowBytes':
    'How many bytes a row may have: one is held whole while it is looked into. A larger one ends its statement (54000). Default 1048576.',
  'spec.errors': 'What the agent is told when something is refused.',
  'spec.errors.detail':
    'Full: which policy refused it and what to do. Generic: the message below and the SQLSTATE, no more.',
  'spec.errors.message': 'The message with detail Generic.',
  status: 'What the operator found. Written by the operator only.',
  'status.observedGeneration': 'The generation of the spec that this status speaks of.',
  'status.conditions':
    'Ready: the policy is valid, fits the database as far as that is known, and its bundles have been written. Enforced: every matching pod reports that it has applied it. Conflicted: a child or partition of a table has a stricter view than the table, so that the table cannot be read; the message says which, and which policies meet there.',
  'status.writes': 'What was found about writes.',
  'status.writes.chosenKeys':
    'Tables where a key that the agent chooses can tell it of a row that it does not see: what spec.writes.chosenKeys is about. With Allow such a key fails as any duplicate does; with Refuse it cannot be chosen.',
  'status.allColumns':
    'Tables granted with columns ["*"], as they were when this generation was first compared with the database. What was added since is visible, and Ready says so.',
  'status.writes.chosenKeys[]': 'schema.table',
  'status.allColumns.generation': 'The generation of the spec.',
  'status.allColumns.tables': 'The tables; the first thousand by name.',
  'status.allColumns.tables[]': 'A table.',
  'status.allColumns.tables[].name': 'schema.table',
  'status.allColumns.tables[].oid': 'What the database calls it; a table that is made anew has another.',
  'status.allColumns.tables[].lastColumn': 'The number of its last column.',
  'status.pods': 'How far the pods have come, by what their sidecars report.',
  'status.pods.matched': 'Running pods with a sidecar whose service account this policy may concern.',
  'status.pods.enforcing': 'Those of them that have applied this generation.',
  'status.pods.outdated':
    'Those of them whose sidecar is of an older release; they are upgraded when their pods are made anew.',
};
