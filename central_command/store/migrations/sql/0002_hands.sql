-- What operators decide of a rule: for the fleet in l1_rules.hand, for one site here.
ALTER TABLE l1_rules DROP CONSTRAINT l1_rules_hand_check;
ALTER TABLE l1_rules ADD CONSTRAINT l1_rules_hand_check CHECK (hand IN ('none', 'pinned', 'vetoed', 'disabled'));
ALTER TABLE l1_rules DROP COLUMN enabled;
ALTER TABLE l1_rules ADD COLUMN enabled boolean GENERATED ALWAYS AS (
  stage = 'enabled' AND hand NOT IN ('vetoed', 'disabled') AND quarantine_reason IS NULL
) STORED;

CREATE TABLE site_hands (
  site_id site_name NOT NULL REFERENCES sites,
  rule_id rule_name NOT NULL REFERENCES l1_rules (rule_id),
  hand text NOT NULL CHECK (hand IN ('pinned', 'vetoed', 'disabled')),
  pinned_stage text CHECK (pinned_stage IN ('shadow', 'canary', 'enabled')),
  reason text NOT NULL CHECK (reason <> ''),
  actor text NOT NULL CHECK (actor <> ''),
  at timestamptz NOT NULL,
  PRIMARY KEY (site_id, rule_id),
  CHECK ((hand = 'pinned') = (pinned_stage IS NOT NULL))
);
COMMENT ON COLUMN site_hands.pinned_stage IS 'the stage that the site keeps, whatever the fleet does';

-- How a rule stands at each site that it is for. Whoever refuses it, the fleet or the site, is heard.
CREATE VIEW rules_at_site WITH (security_invoker = true) AS
SELECT s.site_id, r.rule_id, r.site_id AS scope,
  CASE
    WHEN r.quarantine_reason IS NOT NULL THEN 'quarantined'
    WHEN r.hand IN ('vetoed', 'disabled') THEN r.hand
    WHEN h.hand IN ('vetoed', 'disabled') THEN h.hand
    WHEN h.hand = 'pinned' THEN h.pinned_stage
    ELSE r.stage
  END AS stage
FROM sites s
JOIN l1_rules r ON r.site_id = '*' OR r.site_id = s.site_id
LEFT JOIN site_hands h ON h.site_id = s.site_id AND h.rule_id = r.rule_id;

-- Patterns of an earlier control plane: what it had made of them, and a runbook that it named and nobody has.
ALTER TABLE patterns ADD COLUMN imported_stage text CHECK (imported_stage IN ('pending', 'promoted'));
ALTER TABLE patterns ADD COLUMN imported_runbook text CHECK (imported_runbook <> '');
ALTER TABLE patterns ALTER COLUMN runbook_id DROP NOT NULL;
ALTER TABLE patterns ADD CHECK (runbook_id IS NOT NULL OR stage = 'refused' AND imported_runbook IS NOT NULL);

-- As before, with the ids before their reports: joined by appliance first, the backlog of one costs its square.
CREATE OR REPLACE VIEW l1_rule_counts WITH (security_invoker = true) AS
WITH ids AS MATERIALIZED (
  SELECT site_id, appliance_id, unnest(execution_ids) AS execution_id FROM telemetry_delta
), pending AS (
  SELECT r.rule_id,
    count(*) AS matches,
    count(*) FILTER (WHERE t.success) AS successes,
    count(*) FILTER (WHERE t.outcome IN ('failed', 'verify_failed')) AS failures,
    count(*) FILTER (WHERE t.outcome = 'not_applicable') AS not_applicable
  FROM ids
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

ALTER TABLE site_hands ENABLE ROW LEVEL SECURITY;
ALTER TABLE site_hands FORCE ROW LEVEL SECURITY;
CREATE POLICY fleet ON site_hands TO central_fleet USING (true) WITH CHECK (true);
CREATE POLICY own_site ON site_hands FOR SELECT TO central_agent USING (site_id = current_setting('central.site_id', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON site_hands TO central_fleet;
GRANT SELECT ON rules_at_site TO central_fleet;
GRANT SELECT ON site_hands, rules_at_site TO central_agent;
