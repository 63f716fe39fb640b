{
  description = "Keeps a clinic's Linux and Windows machines as HIPAA's Security Rule asks: checks, heals, verifies, proves";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forEachSystem = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      packages = forEachSystem (pkgs: rec {
        compliance-agent = pkgs.callPackage ./nix/package.nix { };
        default = compliance-agent;
      });

      overlays.default = final: _previous: {
        compliance-agent = final.callPackage ./nix/package.nix { };
      };

      nixosModules = {
        default = ./nix/modules;
        compliance-agent = ./nix/modules/compliance-agent.nix;
      };

      devShells = forEachSystem (pkgs: {
        default = import ./nix/shell.nix { inherit pkgs; };
      });

      formatter = forEachSystem (pkgs: pkgs.nixfmt-tree);

      checks = forEachSystem (pkgs: {
        package = self.packages.${pkgs.stdenv.hostPlatform.system}.default;
        unit = import ./nix/tests/unit.nix {
          inherit nixpkgs;
          inherit (pkgs.stdenv.hostPlatform) system;
          module = self.nixosModules.default;
        };
      });
    };
}
