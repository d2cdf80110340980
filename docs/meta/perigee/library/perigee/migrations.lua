---@meta _
-- Migrations of a database: perigee.migrations. The language of their files is in the meta files
-- perigee-definitions.

--- `perigee.migrations`.
---@class perigee.migrations_module
local migrations = {}

--- Migrations of a database, in a folder. Nothing is read before the first verb.
---
--- Raises `usage`, and `unsupported` on a database that has no locks.
---@param db perigee.db
---@param options string|perigee.migrations_options the folder, or a table
---@return perigee.migrations
---@nodiscard
function migrations.open(db, options) end

--- Options of `perigee.migrations.open`.
---@class perigee.migrations_options
---@field dir string the folder of the files
---@field schema? string|perigee.schema the definitions, for `check`, `diff`, `revision` and `sync`
---@field include? fun(object: perigee.object): boolean what is compared at all
---@field schemas? string[] schemas that are looked at besides the default one (PostgreSQL)
---@field manage? "all" tables that the definitions do not have count as differences
---@field journal_schema? string where the journal is (the default schema)
---@field lock_wait? number seconds to wait for another runner (60)
---@field lock_timeout? number seconds that a statement waits for a lock on a table (2)
---@field statement_timeout? number seconds for statements that should be short (30)
---@field retries? integer how often statements are tried again after a lock or a deadlock (10)
---@field retry_pause? number seconds before the first of them, doubled each time, up to 30 (0.5)
---@field online? boolean PostgreSQL: indexes concurrently, constraints NOT VALID and then validated (true)
---@field allow? table<string, string> reasons by rules of lint: what `m:allow` would say in the files
---@field on_event? fun(event: perigee.migration_event) is told what happens
---@field fault? fun(point: "before"|"after"|"between", n: integer) for tests of crashes: at every boundary of a statement

--- What `on_event` is told; which fields there are goes by `type`.
---@class perigee.migration_event
---@field type "lock"|"migration"|"start"|"step"|"progress"|"retry"|"blocked"|"blocking"|"done"|"edited"|"tested"
---@field [string] any

--- Errors of a run have kind `migration` and further fields.
---@class perigee.migration_error: perigee.error
---@field exit integer 1 behind, 3 refused, 4 a decision is needed, 5 locked, 6 failed, 7 other history
---@field pending? perigee.summary[] exit 1
---@field findings? perigee.finding[] exit 3
---@field heads? string[] exit 4
---@field decisions? table[] exit 4
---@field holder? any exit 5: who has the lock
---@field migration? string exit 6
---@field step? integer exit 6
---@field steps? integer exit 6
---@field phase? string exit 6
---@field resumable? boolean exit 6
---@field unknown? string[] exit 7
---@field changed? perigee.summary[] exit 7

--- A migration, and how far it is.
---@class perigee.summary
---@field id string
---@field name string of the file, without `.lua`
---@field message string
---@field after string[]
---@field depends string[]
---@field labels string[]
---@field path string
---@field state "pending"|"running"|"failed"|"reverting"|"applied"|"finished"|"stamped"
---@field has_finish boolean
---@field phase? string
---@field step? integer
---@field steps? integer
---@field error? string
---@field started_at? string
---@field finished_at? string
---@field elapsed_ms? integer
---@field by_user? string
---@field host? string
---@field note? string

--- What lint has found.
---@class perigee.finding
---@field level "error"|"warning"|"info"
---@field rule string
---@field message string
---@field path string
---@field line? integer
---@field phase? string
---@field hint? string the safe way
---@field migration? string

--- Migrations of a database. Each verb reads the folder anew. Errors of a run have kind
--- `migration`, and in `exit` the exit status of the program (`perigee.migration_error`).
---@class perigee.migrations
local Migrations = {}

-- ---- looking ---------------------------------------------------------------

--- Where the database is.
---@async
---@return perigee.migrations_status
---@nodiscard
function Migrations:status() end

--- Where a database is.
---@class perigee.migrations_status
---@field state "unknown_revision"|"changed"|"failed"|"running"|"several_heads"|"no_migrations"|"unversioned"|"empty"|"pending"|"up_to_date"
---@field current perigee.summary[]
---@field heads perigee.summary[]
---@field unknown string[] ids that are applied and have no file
---@field unknown_names? table
---@field pending perigee.summary[]
---@field finish perigee.summary[] whose finish phase is due
---@field changed perigee.summary[] whose file does something else than what was applied
---@field edited perigee.summary[] whose file has other comments or another layout
---@field partly? perigee.summary[] squashed, and only a part is applied
---@field failed? perigee.summary the unfinished one

--- Is the database what this program needs? For health checks.
---@async
---@return boolean
---@return string? reason
---@nodiscard
function Migrations:ready() end

--- The migrations that the database is at.
---@async
---@return perigee.summary[]
---@nodiscard
function Migrations:current() end

--- The migrations that nothing comes after.
---@async
---@return perigee.summary[]
---@nodiscard
function Migrations:heads() end

--- All migrations, newest first. Each has `graph`, its line of the drawn graph, and `before`, the
--- lines above that only connect.
---@async
---@param range? string "a:b": after a up to b
---@return perigee.summary[]
---@nodiscard
function Migrations:history(range) end

--- A migration, with `up`, `finish` and `down` as lists of texts, `change` and `replaces`.
---@async
---@param revision string
---@return perigee.summary
---@nodiscard
function Migrations:show(revision) end

-- ---- running ---------------------------------------------------------------

--- Applies what is pending up to the target, parents first. What an earlier run left unfinished is
--- finished first.
---@async
---@param target? string a revision, "+n" or "heads" ("head")
---@param options? perigee.upgrade_options
---@return { applied: perigee.summary[], finish: perigee.summary[], finished: perigee.summary[] }
function Migrations:upgrade(target, options) end

--- Options of `upgrade`.
---@class perigee.upgrade_options
---@field finish? boolean run the finish phases that are due, too
---@field dry_run? boolean only say what is pending
---@field allow? table<string, string> reasons by rules of lint, besides those of `open`
---@field out_of_order? boolean apply also what was added before something applied
---@field redo? boolean run the step again of which it is not known whether it was done
---@field skip? boolean it was done

--- Runs the finish phases that are due.
---@async
---@param target? string only up to this revision
---@param options? perigee.finish_options
---@return { finished: perigee.summary[] }
function Migrations:finish(target, options) end

--- Options of `finish`.
---@class perigee.finish_options
---@field allow? table<string, string> reasons by rules of lint, besides those of `open`
---@field redo? boolean run the step again of which it is not known whether it was done
---@field skip? boolean it was done

--- Takes back, children first, until the target is the last applied. When one cannot be taken back
--- nothing is done.
---@async
---@param target? string a revision, "-n" or "base" ("-1", one)
---@param options? perigee.downgrade_options
---@return { reverted: perigee.summary[] }
function Migrations:downgrade(target, options) end

--- Options of `downgrade`.
---@class perigee.downgrade_options
---@field dry_run? boolean only say what would be taken back
---@field redo? boolean run the step again of which it is not known whether it was done
---@field skip? boolean it was done

--- Goes on with what is unfinished.
---@async
---@param options? perigee.resume_options
---@return { resumed: perigee.summary[] }
function Migrations:resume(options) end

--- Options of `resume`.
---@class perigee.resume_options
---@field redo? boolean run the step again of which it is not known whether it was done
---@field skip? boolean it was done

--- The journal forgets the unfinished phase. What its steps have done stays.
---@async
---@return { abandoned: perigee.summary[] }
function Migrations:abandon() end

--- Says where the database is, without running anything: the revision and what comes before count
--- as applied, all else as not.
---@async
---@param revision string
---@param options? perigee.stamp_options
---@return string[] ids
function Migrations:stamp(revision, options) end

--- Options of `stamp`.
---@class perigee.stamp_options
---@field purge? boolean forget first what the journal has, also of unknown migrations

--- For the start of a program: creates an empty database, upgrades one that is behind, or does
--- nothing. Many may call it at once.
---@async
---@return "created"|"upgraded"|"up_to_date"
---@return table result as `upgrade` gives it
function Migrations:sync() end

--- The file as it is now counts as what was applied.
---@async
---@param revision string
---@param reason string kept in `note`
---@return perigee.summary
function Migrations:repair(revision, reason) end

-- ---- comparing -------------------------------------------------------------

--- What would have to change for the database to be as the definitions say.
---@async
---@param options? perigee.diff_options
---@return perigee.difference
---@nodiscard
function Migrations:diff(options) end

--- As `diff`, with `pending`, `status` and `in_sync`.
---@async
---@param options? perigee.diff_options
---@return perigee.difference
---@nodiscard
function Migrations:check(options) end

--- Options of `diff` and `check`.
---@class perigee.diff_options
---@field rename? string[] "customers.mail=email"
---@field not_rename? string[] "orders.shipped_at"
---@field drop? string[] what may go: "orders.shipped_at"
---@field manage? "all" tables that the definitions do not have count
---@field phase? "up"|"finish" "up": drops are not put off

--- What would have to change.
---@class perigee.difference
---@field changes table[] operations
---@field decisions? table[] what somebody has to decide: a rename or a drop
---@field notes? table[]
---@field pending? perigee.summary[] of `check`
---@field status? string of `check`
---@field in_sync? boolean of `check`: no change, no decision, nothing pending

--- Compares the database with what its applied migrations make on scratch.
---@async
---@param options? perigee.drift_options
---@return perigee.difference
---@nodiscard
function Migrations:drift(options) end

--- Options of `drift`.
---@class perigee.drift_options
---@field manage? "all" tables that the migrations do not make count

--- Looks at migrations before they run: what destroys data, keeps others waiting, breaks programs.
---@async
---@param range? string "a:b" or a revision; default what is pending
---@param options? perigee.lint_options
---@return { findings: perigee.finding[], errors: integer, warnings: integer, infos: integer, notes: string[] }
---@nodiscard
function Migrations:lint(range, options) end

--- Options of `lint`.
---@class perigee.lint_options
---@field offline? boolean the server is not asked
---@field allow? table<string, string> reasons by rules

--- Runs each migration up, down and up on scratch. Ends after the first that fails.
---@async
---@param range? string "a:b" or a revision; default all
---@return { id: string, name: string, ok: boolean, message: string?, notes: string[]? }[]
function Migrations:test(range) end

--- A script that does the same and keeps the journal.
---
--- Raises `usage` for a migration with `m:run`.
---@async
---@param range? string "a:b", also downwards; default what is pending
---@param to? string|perigee.script_options the second end, or the options
---@param options? perigee.script_options
---@return string
---@nodiscard
function Migrations:sql(range, to, options) end

--- Options of `sql`.
---@class perigee.script_options
---@field finish? boolean with the finish phases

-- ---- files -----------------------------------------------------------------

--- Writes a new file. Without a difference `autogenerate` writes none.
---@async
---@param options perigee.revision_options
---@return perigee.new_revision
function Migrations:revision(options) end

--- Options of `revision`.
---@class perigee.revision_options: perigee.diff_options
---@field message string what it does
---@field autogenerate? boolean write what `diff` finds
---@field empty? boolean a file also when there is no difference
---@field baseline? boolean the first migration, with all that the definitions have
---@field head? string|string[] what it comes after (the only head)
---@field labels? string|string[]
---@field depends? string|string[]

--- What `revision` has written.
---@class perigee.new_revision
---@field path? string nil: no file
---@field id? string
---@field name? string
---@field up integer operations
---@field finish integer operations
---@field down integer operations
---@field changes table[]
---@field notes? table[]
---@field verified boolean tried on scratch, and nothing is left
---@field remaining? table[]

--- Writes a migration without operations that comes after several heads.
---@async
---@param options? perigee.merge_options
---@return { path: string, id: string, name: string, after: string[] }
function Migrations:merge(options) end

--- Options of `merge`.
---@class perigee.merge_options
---@field message? string
---@field heads? string[] (all heads)

--- Moves the branch of a revision behind another head.
---
--- Raises `migration` when one of them is applied in the database.
---@async
---@param revision string
---@param options? perigee.rebase_options
---@return { onto: string, moved: string[], path: string }
function Migrations:rebase(revision, options) end

--- Options of `rebase`.
---@class perigee.rebase_options
---@field onto? string the revision to come after (the other head)

--- Writes one file instead of those from `a` to `b`, both included. It keeps the id of `b`.
---@async
---@param a string
---@param b string
---@param options? perigee.squash_options
---@return { path: string, id: string, name: string, removed: string[], up: integer, down: integer }
function Migrations:squash(a, b, options) end

--- Options of `squash`.
---@class perigee.squash_options
---@field message? string
