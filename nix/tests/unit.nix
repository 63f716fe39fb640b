# Builds the unit and the settings file of nix/tests/example.nix with the real NixOS; part of `nix flake check`.
{
  nixpkgs,
  system,
  module,
}:

let
  machine = nixpkgs.lib.nixosSystem {
    modules = [
      module
      ./example.nix
      {
        nixpkgs.hostPlatform = system;
        boot.isContainer = true;
        system.stateVersion = "26.05";
      }
    ];
  };
  inherit (machine) config pkgs;
in
pkgs.linkFarm "compliance-agent-unit" {
  unit = config.systemd.units."compliance-agent.service".unit;
  settings = config.environment.etc."compliance-agent/settings.yaml".source;
}
