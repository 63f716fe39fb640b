# What the module makes of a configuration, as data: failed assertions, the service, the settings file.
#
#   nix-instantiate --eval --strict --json nix/tests/evaluate.nix --arg configuration 'import nix/tests/example.nix'
#
# Add --arg lib 'import /path/to/nixpkgs/lib' to do so with the real library.
{
  lib ? import ./mini-lib.nix,
  configuration ? import ./example.nix,
}:

let
  module = import ../modules/compliance-agent.nix;
  agent = {
    type = "derivation";
    name = "compliance-agent";
    outPath = "/opt/compliance-agent";
    meta.mainProgram = "compliance-agent";
  };
  pkgs = {
    callPackage = _file: _arguments: agent;
    # JSON is YAML, and text instead of a file needs no store.
    formats.yaml = _options: {
      type = lib.types.attrsOf lib.types.anything;
      generate = _name: builtins.toJSON;
    };
  };

  anything = lib.mkOption {
    type = lib.types.anything;
    default = { };
  };
  stubs.options = {
    assertions = lib.mkOption {
      type = lib.types.listOf lib.types.anything;
      default = [ ];
    };
    environment = anything;
    systemd = anything;
  };

  config =
    if lib ? evalModules then
      (lib.evalModules {
        modules = [
          module
          configuration
          stubs
        ];
        specialArgs = { inherit pkgs; };
      }).config
    else
      lib.evaluate { inherit module configuration pkgs; };
in
{
  failed = map (entry: entry.message) (
    builtins.filter (entry: !entry.assertion) (config.assertions or [ ])
  );
  service = config.systemd.services.compliance-agent or null;
  settings = config.environment.etc."compliance-agent/settings.yaml".source or null;
}
