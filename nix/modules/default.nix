# Every module of this project; each does nothing until it is enabled.
{
  imports = [ ./compliance-agent.nix ];
}
