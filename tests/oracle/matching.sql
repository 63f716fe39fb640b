-- The pattern language in PostgreSQL's own words: each operator is the SQL that says the same.
-- Functions live in pg_temp: they end with the session and leave nothing in the database.
-- A missing field is SQL's NULL; JSON's null is a value like any other.

CREATE FUNCTION pg_temp.holds(pattern jsonb, subject jsonb) RETURNS boolean LANGUAGE plpgsql AS $function$
DECLARE
    part jsonb;
    name text;
BEGIN
    -- Without any operator, and where both are of one kind, it is @> itself.
    IF jsonb_typeof(pattern) IN ('object', 'array') AND position('$' IN pattern::text) = 0 THEN
        RETURN coalesce(jsonb_typeof(pattern) = jsonb_typeof(subject) AND subject @> pattern, false);
    END IF;
    IF jsonb_typeof(pattern) = 'array' THEN
        RETURN coalesce(jsonb_typeof(subject) = 'array', false) AND NOT EXISTS (
            SELECT FROM jsonb_array_elements(pattern) AS wanted WHERE NOT EXISTS (
                SELECT FROM jsonb_array_elements(CASE jsonb_typeof(subject) WHEN 'array' THEN subject ELSE '[]' END) AS got
                WHERE pg_temp.holds(wanted.value, got.value)));
    END IF;
    IF jsonb_typeof(pattern) <> 'object' THEN
        RETURN coalesce(subject = pattern, false);  -- not @>: an array would contain the scalar
    END IF;
    FOR name, part IN SELECT * FROM jsonb_each(pattern) LOOP
        IF name LIKE '$%' AND name NOT LIKE '$$%' THEN
            IF NOT pg_temp.operator_holds(name, part, subject) THEN RETURN false; END IF;
        ELSE
            IF jsonb_typeof(subject) IS DISTINCT FROM 'object' THEN RETURN false; END IF;
            name := CASE WHEN name LIKE '$$%' THEN substr(name, 2) ELSE name END;
            IF NOT pg_temp.holds(part, CASE WHEN subject ? name THEN subject -> name END) THEN RETURN false; END IF;
        END IF;
    END LOOP;
    RETURN pattern <> '{}' OR coalesce(jsonb_typeof(subject) = 'object', false);
END $function$;

CREATE FUNCTION pg_temp.operator_holds(name text, argument jsonb, subject jsonb) RETURNS boolean LANGUAGE plpgsql AS $function$
BEGIN
    CASE name
        WHEN '$exists' THEN RETURN (subject IS NOT NULL) = argument::boolean;
        WHEN '$not' THEN RETURN NOT pg_temp.holds(argument, subject);
        WHEN '$and' THEN
            RETURN (SELECT bool_and(pg_temp.holds(part.value, subject)) FROM jsonb_array_elements(argument) AS part);
        WHEN '$or' THEN
            RETURN (SELECT bool_or(pg_temp.holds(part.value, subject)) FROM jsonb_array_elements(argument) AS part);
        ELSE NULL;
    END CASE;
    IF subject IS NULL THEN RETURN false; END IF;
    CASE name
        WHEN '$eq' THEN RETURN subject = argument;
        WHEN '$ne' THEN RETURN subject <> argument;
        WHEN '$in' THEN RETURN EXISTS (SELECT FROM jsonb_array_elements(argument) AS one WHERE one.value = subject);
        WHEN '$nin' THEN RETURN NOT EXISTS (SELECT FROM jsonb_array_elements(argument) AS one WHERE one.value = subject);
        WHEN '$gt', '$gte', '$lt', '$lte' THEN RETURN pg_temp.in_order(name, argument, subject);
        WHEN '$contains' THEN
            IF jsonb_typeof(subject) = 'array' THEN
                IF jsonb_typeof(argument) IN ('array', 'object') THEN  -- an equal element, not one that contains it
                    RETURN EXISTS (SELECT FROM jsonb_array_elements(subject) AS item WHERE item.value = argument);
                END IF;
                RETURN subject @> jsonb_build_array(argument);
            END IF;
        ELSE NULL;
    END CASE;
    IF jsonb_typeof(subject) <> 'string' THEN RETURN false; END IF;
    IF name = '$contains' AND jsonb_typeof(argument) <> 'string' THEN RETURN false; END IF;
    RETURN pg_temp.text_holds(name, argument, subject #>> '{}');
END $function$;

CREATE FUNCTION pg_temp.in_order(name text, argument jsonb, subject jsonb) RETURNS boolean LANGUAGE plpgsql AS $function$
DECLARE
    sign int;
BEGIN
    IF jsonb_typeof(argument) = 'number' AND jsonb_typeof(subject) = 'number' THEN
        sign := sign(CASE WHEN subject::numeric > argument::numeric THEN 1
                          WHEN subject::numeric < argument::numeric THEN -1 ELSE 0 END);
    ELSIF jsonb_typeof(argument) = 'string' AND jsonb_typeof(subject) = 'string' THEN
        sign := CASE WHEN (subject #>> '{}') COLLATE "C" > (argument #>> '{}') COLLATE "C" THEN 1
                     WHEN (subject #>> '{}') COLLATE "C" < (argument #>> '{}') COLLATE "C" THEN -1 ELSE 0 END;
    END IF;
    RETURN coalesce(CASE name WHEN '$gt' THEN sign > 0 WHEN '$gte' THEN sign >= 0
                              WHEN '$lt' THEN sign < 0 WHEN '$lte' THEN sign <= 0 END, false);
END $function$;

CREATE FUNCTION pg_temp.text_holds(name text, argument jsonb, subject text) RETURNS boolean LANGUAGE plpgsql AS $function$
DECLARE
    words text := argument #>> '{}';
BEGIN
    RETURN CASE name
        WHEN '$prefix' THEN starts_with(subject, words)
        WHEN '$suffix' THEN right(subject, length(words)) = words
        WHEN '$contains' THEN position(words IN subject) > 0
        WHEN '$wildcard' THEN subject LIKE pg_temp.wildcard_as_like(words)
        WHEN '$regex' THEN subject ~ ('(?p)' || words)  -- a dot is any character but a line's end, as in RE2
        WHEN '$ieq' THEN lower(subject) = lower(words)  -- asked for ASCII only
        WHEN '$cidr' THEN EXISTS (
            SELECT FROM jsonb_array_elements_text(
                CASE jsonb_typeof(argument) WHEN 'array' THEN argument ELSE jsonb_build_array(argument) END
            ) AS network WHERE pg_temp.address_within(subject, network.value::cidr))
    END;
END $function$;

CREATE FUNCTION pg_temp.wildcard_as_like(wildcard text) RETURNS text LANGUAGE plpgsql AS $function$
DECLARE
    letter text;
    literal boolean := false;
    result text := '';
BEGIN
    FOREACH letter IN ARRAY regexp_split_to_array(wildcard, '') LOOP
        result := result || CASE
            WHEN literal OR letter IN ('%', '_') THEN '\' || letter
            WHEN letter = '\' THEN ''
            WHEN letter = '*' THEN '%'
            WHEN letter = '?' THEN '_'
            ELSE letter END;
        literal := NOT literal AND letter = '\';
    END LOOP;
    RETURN result;
END $function$;

-- inet takes more for an address than the language does, and one thing less; what differs on purpose:
CREATE FUNCTION pg_temp.address_within(address text, network cidr) RETURNS boolean LANGUAGE plpgsql AS $function$
DECLARE
    without_zone text := CASE WHEN address LIKE '%:%' THEN regexp_replace(address, '^([^%/]+)%[^%]+$', '\1') ELSE address END;
BEGIN
    IF position('/' IN address) > 0 OR address ~ '(^|[.:])0[0-9]+\.|\.0[0-9]+$' THEN
        RETURN false;  -- 192.0.2.7/24 is more than an address; 010.0.0.1 is read as 10 by some, as 8 by others
    END IF;
    IF without_zone ~ ':.*\.' AND without_zone !~ ':\d+\.\d+\.\d+\.\d+$' THEN
        RETURN false;  -- inet fills up an IPv4 part of fewer than four numbers: 1::1.2.3
    END IF;
    RETURN without_zone::inet <<= network;  -- fe80::1%eth0 is fe80::1 on one of several interfaces
EXCEPTION WHEN invalid_text_representation THEN
    RETURN false;
END $function$;

-- NULL for bytes that are UTF-8 and jsonb, else the code of the error.
CREATE FUNCTION pg_temp.refusal(document bytea) RETURNS text LANGUAGE plpgsql AS $function$
BEGIN
    PERFORM convert_from(document, 'UTF8')::jsonb;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $function$;
