-- What each appliance has shown of a rule in shadow: one word each, so that none by itself moves a rule.
CREATE TABLE shadow_votes (
  site_id site_name NOT NULL,
  appliance_id text NOT NULL,
  rule_id rule_name NOT NULL REFERENCES l1_rules (rule_id),
  agrees boolean NOT NULL,
  PRIMARY KEY (rule_id, site_id, appliance_id)
);
COMMENT ON COLUMN shadow_votes.agrees IS 'what a person chose there, and lasted, is what the rule would have done';

ALTER TABLE shadow_votes ENABLE ROW LEVEL SECURITY;
ALTER TABLE shadow_votes FORCE ROW LEVEL SECURITY;
CREATE POLICY fleet ON shadow_votes TO central_fleet USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON shadow_votes TO central_fleet;
