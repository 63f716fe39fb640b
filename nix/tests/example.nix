# The configuration that the module's tests evaluate: one machine over SSH, one secret.
{
  services.compliance-agent = {
    enable = true;
    credentials.web1-key = "/run/secrets/web1-key";
    settings = {
      site_id = "clinic-a";
      known_hosts = "/etc/compliance-agent/known_hosts";
      targets = [
        {
          id = "web1";
          host = "web1.clinic.example";
          user = "agent";
          become = "sudo";
          identity_file = "/run/credentials/compliance-agent.service/web1-key";
        }
      ];
    };
  };
}
