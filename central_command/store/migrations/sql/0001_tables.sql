-- Two roles besides the owner. central_agent answers appliances and sees one site, the one that the transaction names
-- (SELECT set_config('central.site_id', ..., true)); central_fleet folds, promotes and serves operators, and sees all.
-- Neither owns a table, so row security holds for both.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'central_agent') THEN CREATE ROLE central_agent NOLOGIN; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'central_fleet') THEN CREATE ROLE central_fleet NOLOGIN; END IF;
END
$$;

CREATE DOMAIN site_name AS text CHECK (VALUE ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$');
CREATE DOMAIN scope_name AS text CHECK (VALUE = '*' OR VALUE ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$');
COMMENT ON DOMAIN scope_name IS 'a site, or * for the whole fleet';
CREATE DOMAIN rule_name AS text CHECK (VALUE ~ '^[!-~]{1,128}$');

CREATE TABLE sites (
  site_id site_name PRIMARY KEY,
  name text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE appliances (
  site_id site_name NOT NULL REFERENCES sites,
  appliance_id text NOT NULL CHECK (appliance_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'revoked')),
  channel text NOT NULL DEFAULT 'stable' CHECK (channel IN ('stable', 'canary')),
  public_key bytea CHECK (length(public_key) = 32),
  enrolled_at timestamptz NOT NULL DEFAULT now(),
  seen_at timestamptz,
  clock_ahead_s double precision,
  reported_until timestamptz,
  version text NOT NULL DEFAULT '',
  heartbeat jsonb,
  PRIMARY KEY (site_id, appliance_id)
);
COMMENT ON COLUMN appliances.public_key IS 'Ed25519, raw; it signs the appliance''s evidence';
COMMENT ON COLUMN appliances.reported_until IS 'all that it did until then, by its own clock, has arrived here';
COMMENT ON COLUMN appliances.clock_ahead_s IS 'its clock less ours, at the last batch';

CREATE TABLE credentials (
  site_id site_name NOT NULL,
  credential_id uuid NOT NULL,
  appliance_id text NOT NULL,
  token_sha256 bytea NOT NULL UNIQUE CHECK (length(token_sha256) = 32),
  scopes text[] NOT NULL CHECK (scopes <@ ARRAY['sync', 'telemetry', 'evidence', 'checkin', 'commands']),
  label text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  PRIMARY KEY (site_id, credential_id),
  FOREIGN KEY (site_id, appliance_id) REFERENCES appliances
);
COMMENT ON TABLE credentials IS 'bearer tokens of 256 random bits; their SHA-256 alone is kept';

CREATE TABLE enrolment_tokens (
  site_id site_name NOT NULL REFERENCES sites,
  token_sha256 bytea PRIMARY KEY CHECK (length(token_sha256) = 32),
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  used_at timestamptz,
  used_by text
);

-- The catalogue: what the agents of a release carry. A rule can only name what stands here.
CREATE TABLE runbooks (
  runbook_id text PRIMARY KEY CHECK (runbook_id !~* '^AUTO-' AND length(runbook_id) <= 64),
  title text NOT NULL,
  platforms text[] NOT NULL,
  check_type text NOT NULL,
  version integer NOT NULL,
  disruption text NOT NULL CHECK (disruption IN ('none', 'low', 'medium', 'high')),
  reboot text NOT NULL CHECK (reboot IN ('never', 'maybe', 'always')),
  remedies boolean NOT NULL
);
COMMENT ON COLUMN runbooks.remedies IS 'false: it only checks, nothing can be dispatched to it';

CREATE TABLE l1_rules (
  site_id scope_name NOT NULL,
  rule_id rule_name NOT NULL,
  name text NOT NULL DEFAULT '',
  incident_pattern jsonb NOT NULL CHECK (jsonb_typeof(incident_pattern) = 'object' AND incident_pattern <> '{}'),
  action text NOT NULL CHECK (action ~ '^[a-z_]+:[!-~]+$'),
  runbook_id text REFERENCES runbooks,
  priority integer NOT NULL DEFAULT 100,
  source text NOT NULL CHECK (source IN ('builtin', 'synced', 'promoted')),
  quarantine_reason text CHECK (quarantine_reason <> ''),
  stage text NOT NULL CHECK (stage IN ('observed', 'candidate', 'shadow', 'canary', 'enabled', 'demoted')),
  stage_since timestamptz NOT NULL DEFAULT now(),
  stage_reason text NOT NULL DEFAULT '',
  hand text NOT NULL DEFAULT 'none' CHECK (hand IN ('none', 'pinned', 'vetoed')),
  canary_step smallint NOT NULL DEFAULT 0,
  stage_successes bigint NOT NULL DEFAULT 0,
  stage_failures bigint NOT NULL DEFAULT 0,
  shadow_matches bigint NOT NULL DEFAULT 0,
  shadow_agreements bigint NOT NULL DEFAULT 0,
  stage_by_group bigint[] NOT NULL DEFAULT '{}',
  decay double precision NOT NULL DEFAULT 0,
  decay_without double precision[] NOT NULL DEFAULT '{}',
  decay_groups integer NOT NULL DEFAULT 0,
  match_count bigint NOT NULL DEFAULT 0,
  success_count bigint NOT NULL DEFAULT 0,
  failure_count bigint NOT NULL DEFAULT 0,
  relapse_count bigint NOT NULL DEFAULT 0,
  not_applicable_count bigint NOT NULL DEFAULT 0,
  success_rate numeric GENERATED ALWAYS AS (
    round(success_count::numeric / nullif(success_count + failure_count, 0), 4)
  ) STORED,
  enabled boolean GENERATED ALWAYS AS (
    stage = 'enabled' AND hand <> 'vetoed' AND quarantine_reason IS NULL
  ) STORED,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (site_id, rule_id),
  UNIQUE (rule_id),
  CHECK (match_count >= success_count + failure_count + not_applicable_count),
  CHECK (success_count >= relapse_count),
  -- What runs a runbook names one of the catalogue, or is quarantined; the action and the key say the same.
  CHECK (quarantine_reason IS NOT NULL OR action !~ '^run_' OR action ~ ('^run_[a-z_]*:' || runbook_id || '$')
    AND runbook_id IS NOT NULL)
);
COMMENT ON COLUMN l1_rules.stage_by_group IS 'sixteen successes, then sixteen failures: flywheel/influence.py';
COMMENT ON COLUMN l1_rules.match_count IS 'attempts, however they ended; less success, failure and not_applicable:
  interrupted and unreachable';
COMMENT ON COLUMN l1_rules.success_count IS 'verified fixes, the relapsed ones among them';

-- How often the decay test heard of one appliance on the last day that it did.
CREATE TABLE rule_days (
  site_id site_name NOT NULL,
  appliance_id text NOT NULL,
  rule_id rule_name NOT NULL,
  day date NOT NULL,
  runs integer NOT NULL,
  PRIMARY KEY (site_id, appliance_id, rule_id)
);

-- Rules that telemetry names and nobody has registered (an appliance's own): counted aside, claimed by registration.
CREATE TABLE unclaimed_counts (
  site_id site_name NOT NULL,
  rule_id text NOT NULL,
  matches bigint NOT NULL,
  successes bigint NOT NULL,
  failures bigint NOT NULL,
  relapses bigint NOT NULL,
  not_applicable bigint NOT NULL,
  PRIMARY KEY (site_id, rule_id)
);

CREATE TABLE execution_telemetry (
  site_id site_name NOT NULL,
  appliance_id text NOT NULL,
  execution_id uuid NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz NOT NULL,
  outcome text NOT NULL,
  success boolean NOT NULL,
  level text CHECK (level IN ('L1', 'L2', 'L3')),
  rule_id text,
  runbook_id text,
  runbook_digest text,
  action text,
  target_id text NOT NULL,
  check_id text NOT NULL,
  incident_type text,
  platform text,
  distro text,
  severity text,
  incident_id text,
  fingerprint text NOT NULL,
  opened_at timestamptz,
  attempt_id uuid,
  begun_at timestamptz,
  undoes uuid,
  reason text NOT NULL DEFAULT '',
  PRIMARY KEY (site_id, appliance_id, execution_id),
  CHECK (success = (outcome = 'remediated')),
  -- What a timestamp of Python can hold: one that it cannot would stop whoever reads it.
  CHECK (ended_at BETWEEN '2000-01-01Z' AND '2200-01-01Z'),
  CHECK (opened_at BETWEEN '2000-01-01Z' AND '2200-01-01Z'),
  CHECK (begun_at BETWEEN '2000-01-01Z' AND '2200-01-01Z')
) PARTITION BY RANGE (execution_id);
CREATE INDEX execution_telemetry_undoes ON execution_telemetry (site_id, undoes) WHERE undoes IS NOT NULL;
COMMENT ON COLUMN execution_telemetry.undoes IS 'the attempt that a person took back; then it is no attempt itself';
COMMENT ON COLUMN execution_telemetry.execution_id IS 'UUIDv7 of the report: partitions are ranges of time';

-- What is not folded yet: the ids of really inserted rows, one row an ingest.
CREATE TABLE telemetry_delta (
  delta_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  site_id site_name NOT NULL,
  appliance_id text NOT NULL,
  execution_ids uuid[] NOT NULL
);

-- Fixes that may still come back, and those that did.
CREATE TABLE provisional_fixes (
  site_id site_name NOT NULL,
  fingerprint text NOT NULL,
  execution_id uuid NOT NULL,
  appliance_id text NOT NULL,
  rule_id text,
  pattern_id uuid,
  target_id text NOT NULL,
  attempt_id uuid NOT NULL,
  fixed_at timestamptz NOT NULL,
  matures_at timestamptz NOT NULL,
  PRIMARY KEY (site_id, fingerprint, execution_id)
);
CREATE INDEX provisional_fixes_matures ON provisional_fixes (matures_at);

CREATE TABLE relapses (
  site_id site_name NOT NULL,
  appliance_id text NOT NULL,
  execution_id uuid NOT NULL,
  rule_id text,
  fixed_at timestamptz NOT NULL,
  relapsed_at timestamptz NOT NULL,
  PRIMARY KEY (site_id, appliance_id, execution_id)
);

-- When a check last began to fail: a fix that is reported late learns here that it did not last.
CREATE TABLE openings (
  site_id site_name NOT NULL,
  appliance_id text NOT NULL,
  fingerprint text NOT NULL,
  opened_at timestamptz NOT NULL,
  PRIMARY KEY (site_id, appliance_id, fingerprint)
);
COMMENT ON TABLE openings IS 'of the appliance that fixed: no other one can say that its fixes came back';
CREATE INDEX openings_opened_at ON openings (opened_at);

-- What was fixed without a rule: incidents of one check on one platform, by one runbook.
CREATE TABLE patterns (
  site_id scope_name NOT NULL,
  pattern_id uuid NOT NULL,
  check_id text NOT NULL,
  platform text NOT NULL,
  incident_pattern jsonb NOT NULL CHECK (jsonb_typeof(incident_pattern) = 'object' AND incident_pattern <> '{}'),
  runbook_id text NOT NULL CHECK (runbook_id !~* '^AUTO-') REFERENCES runbooks,
  stage text NOT NULL DEFAULT 'observed'
    CHECK (stage IN ('observed', 'candidate', 'promoted', 'refused')),
  stage_reason text NOT NULL DEFAULT '',
  rule_id rule_name REFERENCES l1_rules (rule_id),
  first_at timestamptz NOT NULL,
  last_at timestamptz NOT NULL,
  PRIMARY KEY (site_id, pattern_id),
  UNIQUE (site_id, check_id, platform, runbook_id),
  CHECK ((stage = 'promoted') = (rule_id IS NOT NULL))
);

CREATE TABLE pattern_tallies (
  site_id site_name NOT NULL,
  appliance_id text NOT NULL,
  pattern_id uuid NOT NULL,
  successes bigint NOT NULL DEFAULT 0,
  failures bigint NOT NULL DEFAULT 0,
  not_applicable bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (site_id, appliance_id, pattern_id)
);
CREATE INDEX pattern_tallies_pattern ON pattern_tallies (pattern_id);

-- Different machines and days of a pattern, as many as a promotion asks for.
CREATE TABLE pattern_reach (
  site_id site_name NOT NULL,
  pattern_id uuid NOT NULL,
  target_id text NOT NULL,
  day date NOT NULL,
  PRIMARY KEY (site_id, pattern_id, target_id, day)
);
CREATE INDEX pattern_reach_pattern ON pattern_reach (pattern_id);

CREATE TABLE appliance_commands (
  site_id site_name NOT NULL,
  appliance_id text NOT NULL,
  command_id uuid NOT NULL,
  dedup_key text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('run_runbook', 'pause', 'resume', 'sync', 'scan')),
  params jsonb NOT NULL CHECK (jsonb_typeof(params) = 'object'),
  state text NOT NULL DEFAULT 'queued'
    CHECK (state IN ('queued', 'delivered', 'acknowledged', 'succeeded', 'failed', 'expired', 'withdrawn')),
  envelope bytea NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  delivered_at timestamptz,
  ended_at timestamptz,
  result jsonb,
  PRIMARY KEY (site_id, appliance_id, command_id),
  UNIQUE (site_id, appliance_id, dedup_key),
  FOREIGN KEY (site_id, appliance_id) REFERENCES appliances,
  CHECK ((state IN ('succeeded', 'failed')) = (result IS NOT NULL))
);

CREATE TABLE evidence_bundles (
  site_id site_name NOT NULL,
  appliance_id text NOT NULL,
  chain_id text NOT NULL,
  seq bigint NOT NULL CHECK (seq >= 1),
  entry_id uuid NOT NULL,
  entry_sha256 bytea NOT NULL CHECK (length(entry_sha256) = 32),
  envelope bytea NOT NULL,
  kind text NOT NULL,
  made_at timestamptz NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (site_id, appliance_id, chain_id, seq),
  UNIQUE (site_id, appliance_id, entry_id)
);
COMMENT ON TABLE evidence_bundles IS 'append-only: nobody has the right to update or delete, six years';

-- The end of each chain as we know it: the witness against a cut tail. An alarm stays until a person ends it.
CREATE TABLE evidence_chains (
  site_id site_name NOT NULL,
  appliance_id text NOT NULL,
  chain_id text NOT NULL,
  seq bigint NOT NULL CHECK (seq >= 1),
  sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
  public_key bytea NOT NULL CHECK (length(public_key) = 32),
  alarm text CHECK (alarm <> ''),
  alarmed_at timestamptz,
  PRIMARY KEY (site_id, appliance_id, chain_id),
  FOREIGN KEY (site_id, appliance_id) REFERENCES appliances,
  CHECK ((alarm IS NULL) = (alarmed_at IS NULL))
);

CREATE TABLE audit_log (
  site_id scope_name NOT NULL,
  audit_id uuid NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  actor text NOT NULL CHECK (actor <> ''),
  what text NOT NULL CHECK (what <> ''),
  subject text NOT NULL,
  reason text NOT NULL DEFAULT '',
  details jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (site_id, audit_id)
);

-- Counters and what is not folded yet: exact at any time.
CREATE VIEW l1_rule_counts WITH (security_invoker = true) AS
WITH pending AS (
  SELECT r.rule_id,
    count(*) AS matches,
    count(*) FILTER (WHERE t.success) AS successes,
    count(*) FILTER (WHERE t.outcome IN ('failed', 'verify_failed')) AS failures,
    count(*) FILTER (WHERE t.outcome = 'not_applicable') AS not_applicable
  FROM telemetry_delta d
  CROSS JOIN LATERAL unnest(d.execution_ids) AS one (execution_id)
  JOIN execution_telemetry t USING (site_id, appliance_id, execution_id)
  JOIN l1_rules r ON r.rule_id = t.rule_id AND (r.site_id = '*' OR r.site_id = t.site_id)
  WHERE t.attempt_id IS NOT NULL
  GROUP BY r.rule_id
)
SELECT r.site_id, r.rule_id,
  r.match_count + coalesce(p.matches, 0) AS match_count,
  r.success_count + coalesce(p.successes, 0) AS success_count,
  r.failure_count + coalesce(p.failures, 0) AS failure_count,
  r.not_applicable_count + coalesce(p.not_applicable, 0) AS not_applicable_count,
  r.relapse_count
FROM l1_rules r LEFT JOIN pending p USING (rule_id);

-- The same from the rows themselves: slow, and what the counters have to equal.
CREATE VIEW l1_rule_recount WITH (security_invoker = true) AS
SELECT r.site_id, r.rule_id,
  count(t.execution_id) AS match_count,
  count(*) FILTER (WHERE t.success) AS success_count,
  count(*) FILTER (WHERE t.outcome IN ('failed', 'verify_failed')) AS failure_count,
  count(*) FILTER (WHERE t.outcome = 'not_applicable') AS not_applicable_count,
  (SELECT count(*) FROM relapses x WHERE x.rule_id = r.rule_id) AS relapse_count
FROM l1_rules r
LEFT JOIN execution_telemetry t ON t.rule_id = r.rule_id AND t.attempt_id IS NOT NULL
  AND (r.site_id = '*' OR t.site_id = r.site_id)
GROUP BY r.site_id, r.rule_id;

-- Row security.
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['sites', 'appliances', 'credentials', 'enrolment_tokens', 'l1_rules', 'rule_days', 'unclaimed_counts',
    'execution_telemetry', 'telemetry_delta', 'provisional_fixes', 'relapses', 'openings', 'patterns',
    'pattern_tallies', 'pattern_reach', 'appliance_commands', 'evidence_bundles',
    'evidence_chains', 'audit_log']
  LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY fleet ON %I TO central_fleet USING (true) WITH CHECK (true)', name);
    EXECUTE format('CREATE POLICY own_site ON %I TO central_agent'
      ' USING (site_id = current_setting(''central.site_id'', true))'
      ' WITH CHECK (site_id = current_setting(''central.site_id'', true))', name);
  END LOOP;
END
$$;
CREATE POLICY fleets_rules ON l1_rules FOR SELECT TO central_agent USING (site_id = '*');

GRANT SELECT ON ALL TABLES IN SCHEMA public TO central_fleet;
GRANT INSERT, UPDATE ON sites, appliances, credentials, enrolment_tokens, runbooks, l1_rules, patterns, appliance_commands
  TO central_fleet;
GRANT UPDATE (alarm, alarmed_at) ON evidence_chains TO central_fleet;
GRANT INSERT, UPDATE, DELETE ON rule_days, unclaimed_counts, telemetry_delta, provisional_fixes, openings, pattern_tallies,
  pattern_reach TO central_fleet;
GRANT INSERT ON relapses, audit_log TO central_fleet;

GRANT SELECT ON sites, appliances, credentials, enrolment_tokens, runbooks, l1_rules, appliance_commands,
  execution_telemetry, evidence_bundles, evidence_chains TO central_agent;
GRANT INSERT, UPDATE ON evidence_chains TO central_agent;
GRANT INSERT ON appliances, credentials, execution_telemetry, telemetry_delta, evidence_bundles, audit_log
  TO central_agent;
GRANT UPDATE (seen_at, clock_ahead_s, reported_until, version, heartbeat, public_key) ON appliances TO central_agent;
GRANT UPDATE (revoked_at) ON credentials TO central_agent;
GRANT UPDATE (used_at, used_by) ON enrolment_tokens TO central_agent;
GRANT UPDATE (state, delivered_at, ended_at, result) ON appliance_commands TO central_agent;
