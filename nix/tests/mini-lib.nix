# The few names of nixpkgs' lib that our modules use, so that they can be evaluated where no nixpkgs
# is at hand. Options, defaults, type checks and unknown names; no merging, priorities or imports.
# It supports the real lib and does not replace it: nix/tests/evaluate.nix takes either.
let
  inherit (builtins)
    all
    attrNames
    attrValues
    filter
    hasAttr
    isAttrs
    isBool
    isString
    mapAttrs
    stringLength
    substring
    ;

  isOption = value: isAttrs value && value._type or "" == "option";

  # One value from an option (its definition, checked, or its default) or from a set of options.
  settle =
    path: option: definition:
    if isOption option then
      if definition == null then
        option.default
      else if option.type.check definition then
        definition
      else
        throw "A definition for option `${path}' is not of type `${option.type.name}'."
    else
      let
        defined = if definition == null then { } else definition;
        unknown = filter (name: !hasAttr name option) (attrNames defined);
      in
      if unknown != [ ] then
        throw "The option `${path}.${builtins.head unknown}' does not exist."
      else
        mapAttrs (name: inner: settle "${path}.${name}" inner (defined.${name} or null)) option;
in
rec {
  mkOption = option: option // { _type = "option"; };
  mkEnableOption =
    what:
    mkOption {
      type = types.bool;
      default = false;
      description = "Whether to enable ${what}.";
    };
  mkIf = condition: content: if condition then content else { };
  literalExpression = text: text;
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  mapAttrsToList = make: set: map (name: make name set.${name}) (attrNames set);
  getExe = package: "${package}/bin/${package.meta.mainProgram}";
  importTOML = path: builtins.fromTOML (builtins.readFile path);

  types = {
    anything = {
      name = "anything";
      check = _value: true;
    };
    bool = {
      name = "boolean";
      check = isBool;
    };
    str = {
      name = "string";
      check = isString;
    };
    package = {
      name = "package";
      check = value: isAttrs value && value ? outPath;
    };
    attrsOf = inner: {
      name = "attribute set of ${inner.name}";
      check = value: isAttrs value && all inner.check (attrValues value);
    };
    submodule = { freeformType }: freeformType;
  };

  # The options' values after `configuration`, and what the module makes of them.
  evaluate =
    {
      module,
      configuration,
      pkgs,
    }:
    let
      made = module {
        inherit pkgs;
        lib = import ./mini-lib.nix;
        config.services = settle "services" made.options.services configuration.services;
      };
    in
    made.config;
}
